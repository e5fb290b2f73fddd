/** An audit as a person reads it, and what it means for the exit code and the next command. */
import { assert, describe, it } from "vitest"
import * as Counts from "../../src/audit/Counts.ts"
import { codeOf, goOnOf } from "../../src/cli/AuditCommand.ts"
import * as AuditText from "../../src/cli/AuditText.ts"
import type { AuditSummary } from "../../src/domain/AuditReport.ts"

const summary = (counts: Partial<Counts.Counts> = {}, rest: Partial<AuditSummary> = {}): AuditSummary => ({
  _tag: "AuditSummary",
  complete: true,
  stoppedBy: null,
  prefix: "",
  after: null,
  lastKey: "blobs/z",
  startedAt: "2026-11-24T00:00:00.000Z",
  durationMillis: 1500,
  ...Counts.summaryOf({ ...Counts.empty(), ...counts }),
  repaired: null,
  ...rest
})

const referrers = [
  { table: "public.artifacts", column: "digest", rows: 4, sample: ["app v1", "app v2", 'app "x"'] },
  { table: "public.local_files", column: "digest", rows: 1, sample: ["/a"] }
]

describe("a finding", () => {
  it("is one line: what it is, where, and who is affected", () => {
    assert.deepStrictEqual(
      [
        AuditText.finding({
          _tag: "OwnerlessObject",
          key: "blobs/1",
          sizeBytes: 2000,
          modifiedAt: "2026-11-24T00:00:00.000Z"
        }),
        AuditText.finding({
          _tag: "MissingObject",
          key: "blobs/2",
          digest: "sha256:2",
          sizeBytes: 3,
          referrers
        }),
        AuditText.finding({
          _tag: "MissingObject",
          key: "blobs/3",
          digest: "sha256:3",
          sizeBytes: null,
          referrers: []
        }),
        AuditText.finding({
          _tag: "SizeMismatch",
          key: "blobs/4",
          digest: "sha256:4",
          rowBytes: 1234,
          objectBytes: 5,
          referrers: []
        }),
        AuditText.finding({
          _tag: "DigestMismatch",
          key: "blobs/5",
          digest: "sha256:5",
          actual: "sha256:6",
          sizeBytes: 1,
          referrers: []
        })
      ],
      [
        "ownerless  blobs/1  2.0 KB, written 2026-11-24T00:00:00.000Z",
        'missing    blobs/2  3 B, blob sha256:2, referenced by 4 rows of public.artifacts.digest ("app v1", "app v2", "app \\"x\\"", …) and 1 row of public.local_files.digest ("/a")',
        "missing    blobs/3  blob sha256:3, not referenced",
        "size       blobs/4  5 bytes, not 1,234, blob sha256:4, not referenced",
        "digest     blobs/5  sha256:6, blob sha256:5, not referenced"
      ]
    )
  })
})

describe("a summary", () => {
  it("says what was compared, what is sound and what was found", () => {
    assert.strictEqual(
      AuditText.summary(
        summary(
          {
            ...{ listed: 1234, listedBytes: 5_000_000, rows: 1200, rowBytes: 4_000_000, sound: 1199 },
            ...{ awaitingDeletion: 2, awaitingDeletionBytes: 20, young: 1, youngBytes: 5, settled: 3 },
            ...{ ownerless: 2, ownerlessBytes: 24, missing: 1, missingBytes: 7 },
            ...{ verified: 5, verifiedBytes: 10, unverifiable: 1 }
          },
          { repaired: { objects: 2, bytes: 24, dueAt: "2026-11-24T03:00:00.000Z" } }
        ),
        null
      ),
      `Audit of everything: complete; took 1.5 s
Compared: 1,234 objects (5.0 MB), 1,200 rows of blobs (4.0 MB)
Sound: 1,199 blobs; 2 (20 B) awaiting deletion, 0 under way, 0 staged, 1 (5 B) too young to tell, 3 sound at the second look
Digests: 5 verified (10 B read), 1 not computable
Found: 2 (24 B) ownerless, 1 (7 B) missing, 0 with another size, 0 with another digest
Journaled: 2 (24 B); sweeps delete them from 2026-11-24T03:00:00.000Z on`
    )
  })

  it("names the command that continues an audit that ended early", () => {
    const early = summary({}, { complete: false, stoppedBy: "stopped", prefix: "blobs/", after: "blobs/a" })
    const text = AuditText.summary(early, goOnOf(early, { deep: true }))
    assert.match(
      text,
      /^Audit of keys below blobs\/ after blobs\/a: ended early after a signal; took 1\.5 s\n/
    )
    assert.match(text, /\nTo continue: artifact-gc audit --prefix=blobs\/ --after=blobs\/z --deep$/)
  })
})

describe("the command that continues", () => {
  const early = { complete: false, stoppedBy: "failure" } as const
  it("does not exist after a complete audit", () => assert.isNull(goOnOf(summary(), { deep: true })))

  it("begins where the audit ended, or where it began", () => {
    assert.strictEqual(goOnOf(summary({}, early), {}), "artifact-gc audit --after=blobs/z")
    const none = summary({}, { ...early, lastKey: null, after: "blobs/a" })
    assert.strictEqual(goOnOf(none, {}), "artifact-gc audit --after=blobs/a")
    assert.strictEqual(goOnOf({ ...none, after: null }, {}), "artifact-gc audit")
  })

  it("begins a repair again, because it compares its size with the whole", () => {
    assert.strictEqual(
      goOnOf(summary({}, { ...early, after: "blobs/a" }), { repair: true }),
      "artifact-gc audit --after=blobs/a --repair"
    )
  })

  it("quotes words that a shell would split", () => {
    assert.deepStrictEqual(
      ["blobs/a-1:@%+=._", "a b", "it's", "ü$(rm)", "line\nbreak's\\", "\u200b"].map(AuditText.quoted),
      [
        "blobs/a-1:@%+=._",
        "'a b'",
        "'it'\\''s'",
        "'ü$(rm)'",
        "$'line\\x0abreak\\x27s\\x5c'",
        "$'\\xe2\\x80\\x8b'"
      ]
    )
  })
})

describe("the exit code of an audit", () => {
  const repaired = { objects: 2, bytes: 0, dueAt: "2026-11-24T03:00:00.000Z" }
  it("is 0 without findings, 7 when space is wasted, 8 when data is missing or differs", () => {
    const codes = [
      summary({ young: 5, staged: 5, settled: 5, awaitingDeletion: 5, unverifiable: 5 }),
      summary({ ownerless: 1 }),
      summary({ missing: 1 }),
      summary({ sizeMismatches: 1, ownerless: 3 }),
      summary({ digestMismatches: 1 }),
      summary({ ownerless: 2 }, { repaired }),
      summary({ ownerless: 3 }, { repaired }),
      summary({ ownerless: 2, missing: 1 }, { repaired })
    ].map(codeOf)
    assert.deepStrictEqual(codes, [0, 7, 8, 8, 8, 0, 7, 8])
  })
})
