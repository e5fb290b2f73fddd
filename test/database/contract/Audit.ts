/** What the audit reads: every key the database knows, in the order of the store, and who refers to a blob. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import type { KnownKey } from "../../../src/database/Database.ts"
import type { AuditSummary } from "../../../src/domain/AuditReport.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { Database } from "../../fixtures/Database.ts"
import {
  artifact,
  blob,
  blobs,
  chunk,
  dead,
  digest,
  file,
  intent,
  now,
  type Promised,
  rows,
  session,
  write
} from "../../fixtures/samples.ts"

/**
 * In the order of their UTF-8 bytes. A language sorts them otherwise: capitals beside their small letters, accents
 * beside their vowels, punctuation passed over; and UTF-16 puts the emoji before the full-width letters.
 */
const inByteOrder = [
  "blobs-x/1",
  "blobs.x/1",
  "blobs/ ",
  "blobs/!",
  "blobs/-a",
  "blobs/A",
  "blobs/Z",
  "blobs/_",
  "blobs/a",
  "blobs/a ",
  "blobs/a-b",
  "blobs/aB",
  "blobs/ab",
  "blobs/a~",
  "blobs/b",
  "blobs/z",
  "blobs/\u007f",
  "blobs/ä",
  "blobs/é",
  "blobs/\ud7ff",
  "blobs/\ue000",
  "blobs/ａ",
  "blobs/\uffff",
  "blobs/\u{10000}",
  "blobs/\u{1f600}",
  "blobs/\u{10ffff}",
  "blobs/\u{10ffff}\u{10ffff}",
  "blobs0/1"
].map((key) => ObjectKey.make(key))

/** The same in another order. */
const shuffled = inByteOrder.map((_, n) => inByteOrder[(n * 11) % inByteOrder.length] as ObjectKey)

const inAll = (keys: ReadonlyArray<ObjectKey>) =>
  write({
    blobs: keys.flatMap((key, n) => (n % 4 === 0 ? [blob(n, { key })] : [])),
    intents: keys.flatMap((key, n) => (n % 4 === 1 ? [{ ...intent(n), key }] : [])),
    journal: keys.flatMap((key, n) => (n % 4 === 2 ? [dead(n, { key })] : [])),
    sessions: [session("s")],
    chunks: keys.flatMap((key, n) => (n % 4 === 3 ? [{ ...chunk(n, "s", n), key }] : []))
  })

/** All pages after `after` together, of `limit` keys each. */
const read = Effect.fnUntraced(function* (prefix: string, limit: number, after: ObjectKey | null = null) {
  const { audit } = yield* Database
  const found: Array<KnownKey> = []
  for (let position = after; ; ) {
    const page: ReadonlyArray<KnownKey> = yield* audit.page(prefix, position, limit)
    assert.isAtMost(page.length, limit)
    found.push(...page)
    const last = page.at(-1)
    if (page.length < limit || last === undefined) return found
    position = last.key
  }
})

const keysOf = (found: ReadonlyArray<KnownKey>): ReadonlyArray<string> => found.map(({ key }) => key)

const pages = (promised: Promised): void => {
  promised("tells what owns each key, its digest and its size where they are known", () =>
    Effect.gen(function* () {
      yield* write({
        blobs: [blob(1)],
        intents: [intent(2), { ...intent(3), digest: null }],
        journal: [dead(4), dead(5, { digest: null, sizeBytes: 0, reason: "leftover" })],
        sessions: [session("s", { receivedBytes: 6 })],
        chunks: [chunk(6, "s", 0)]
      })
      const expected: ReadonlyArray<KnownKey> = [
        { key: blob(1).key, owner: "blob", digest: digest(1), sizeBytes: 1 },
        { key: dead(4).key, owner: "journal", digest: digest(4), sizeBytes: 4 },
        { key: dead(5).key, owner: "journal", digest: null, sizeBytes: 0 },
        { key: intent(2).key, owner: "intent", digest: digest(2), sizeBytes: null },
        { key: intent(3).key, owner: "intent", digest: null, sizeBytes: null },
        { key: intent(6).key, owner: "chunk", digest: digest(6), sizeBytes: 6 }
      ]
      assert.deepStrictEqual(yield* read("", 100), expected)
      assert.deepStrictEqual(
        yield* (yield* Database).audit.lookup(expected.map(({ key }) => key).reverse()),
        expected
      )
    })
  )

  for (const limit of [1, 2, 5, 1000]) {
    promised(`comes in the order of UTF-8 bytes, whatever the language, in pages of ${limit}`, () =>
      Effect.gen(function* () {
        yield* inAll(shuffled)
        assert.deepStrictEqual(keysOf(yield* read("", limit)), [...inByteOrder])
      })
    )
  }

  promised("begins after any key, whether or not there is such a key", () =>
    Effect.gen(function* () {
      yield* inAll(shuffled)
      for (const [n, key] of inByteOrder.entries()) {
        assert.deepStrictEqual(keysOf(yield* read("", 7, key)), inByteOrder.slice(n + 1), `after ${key}`)
      }
      const between = ObjectKey.make("blobs/a0")
      assert.deepStrictEqual(keysOf(yield* read("", 7, between)), inByteOrder.slice(11))
    })
  )

  promised("holds to a prefix, and takes in no neighbour", () =>
    Effect.gen(function* () {
      yield* inAll(shuffled)
      const odd = [
        "blobs/",
        "blobs/a",
        "blobs/\ud7ff",
        "blobs/\uffff",
        "blobs/\u{10ffff}",
        "blobs0/1",
        "x",
        "%",
        "_"
      ]
      for (const prefix of odd) {
        assert.deepStrictEqual(
          keysOf(yield* read(prefix, 3)),
          inByteOrder.filter((key) => key.startsWith(prefix)),
          `below ${prefix}`
        )
      }
      const after = ObjectKey.make("blobs/b")
      assert.deepStrictEqual(keysOf(yield* read("blobs/a", 3, after)), [], "after the prefix's end")
      const before = ObjectKey.make("b")
      assert.deepStrictEqual(keysOf(yield* read("blobs/a", 3, before)), inByteOrder.slice(8, 14))
    })
  )

  promised("names the blob before whatever else owns its key", () =>
    Effect.gen(function* () {
      yield* write({
        blobs: blobs(1),
        journal: [dead(1)],
        intents: [{ ...intent(1), key: blob(1).key }],
        sessions: [session("s", { receivedBytes: 1 })],
        chunks: [{ ...chunk(1, "s", 0), key: blob(1).key }]
      })
      const all = ["blob", "chunk", "intent", "journal"]
      const { audit } = yield* Database
      const owners = (found: ReadonlyArray<KnownKey>) => found.map(({ owner }) => owner)
      assert.deepStrictEqual(owners(yield* audit.page("", null, 10)), all)
      assert.deepStrictEqual(owners(yield* audit.page("", null, 1)), ["blob"])
      assert.deepStrictEqual(owners(yield* audit.lookup([blob(1).key])), all)
    })
  )

  promised("changes nothing", () =>
    Effect.gen(function* () {
      yield* inAll(shuffled)
      const before = yield* rows
      const { audit } = yield* Database
      yield* read("", 3)
      yield* audit.lookup(inByteOrder)
      yield* audit.referrers(digest(0))
      yield* audit.estimate
      yield* audit.missingIndex
      assert.deepStrictEqual(yield* rows, before)
    })
  )
}

const questions = (promised: Promised): void => {
  promised("answers for the keys that it is asked about, as they stand now", () =>
    Effect.gen(function* () {
      const { audit } = yield* Database
      yield* write({ blobs: blobs(1, 2, 3) })
      const asked = [blob(3).key, blob(9).key, blob(1).key]
      assert.deepStrictEqual(keysOf(yield* audit.lookup(asked)), [blob(1).key, blob(3).key])
      yield* write({ journal: [dead(9)] })
      assert.deepStrictEqual(keysOf(yield* audit.lookup(asked)), [blob(1).key, blob(3).key, blob(9).key])
      assert.deepStrictEqual(yield* audit.lookup([]), [])
    })
  )
}

const references = (promised: Promised): void => {
  promised("tells who refers to a blob, how often, and a few of them by name", () =>
    Effect.gen(function* () {
      const { audit } = yield* Database
      const names = ["v4", "v1", "v3", "v2"]
      yield* write({
        blobs: blobs(1, 2, 3),
        references: [...names.map((name) => artifact(name, 1)), file("/b", 1), file("/a", 1), file("/c", 2)]
      })
      const referrers = Effect.fnUntraced(function* (n: number) {
        const found = yield* audit.referrers(digest(n))
        // The memory backend's tables stand in no schema.
        return found.map((referrer) => ({ ...referrer, table: referrer.table.replace(/^public\./, "") }))
      })
      assert.deepStrictEqual(yield* referrers(1), [
        {
          table: "artifacts",
          column: "digest",
          rows: 4,
          sample: ["library/app v1", "library/app v2", "library/app v3"]
        },
        { table: "local_files", column: "digest", rows: 2, sample: ["/a", "/b"] }
      ])
      assert.deepStrictEqual(yield* referrers(2), [
        { table: "local_files", column: "digest", rows: 1, sample: ["/c"] }
      ])
      assert.deepStrictEqual(yield* referrers(3), [])
      assert.deepStrictEqual(yield* referrers(9), [], "no such blob")
    })
  )

  promised("finds the index that pages need in a catalogue of its own", () =>
    Effect.gen(function* () {
      assert.isNull(yield* (yield* Database).audit.missingIndex)
    })
  )

  promised("estimates how many blobs there are, or says zero", () =>
    Effect.gen(function* () {
      yield* write({ blobs: blobs(1, 2, 3) })
      // The server's statistics may be those of a moment ago.
      const estimate = yield* (yield* Database).audit.estimate
      assert.isTrue(estimate >= 0 && estimate <= 3, String(estimate))
    })
  )

  promised("counts blobs and their bytes", () =>
    Effect.gen(function* () {
      const { stock } = (yield* Database).audit
      assert.deepStrictEqual(yield* stock(5000), { blobs: 0, bytes: 0 })
      yield* write({ blobs: [1, 2, 3].map((n) => blob(n, { sizeBytes: 10 ** n })) })
      assert.deepStrictEqual(yield* stock(5000), { blobs: 3, bytes: 1110 })
    })
  )
}

const summary = (ownerless: number): AuditSummary => ({
  _tag: "AuditSummary",
  complete: true,
  stoppedBy: null,
  prefix: "",
  after: null,
  lastKey: null,
  startedAt: new Date(now).toISOString(),
  durationMillis: 1000,
  listed: { objects: 9, bytes: 1e15 },
  rows: { objects: 9, bytes: 90 },
  sound: 9,
  digests: { verified: 0, bytes: 0, unverifiable: 0 },
  underWay: { objects: 0, bytes: 0 },
  awaitingDeletion: { objects: 0, bytes: 0 },
  staged: { objects: 0, bytes: 0 },
  young: { objects: 0, bytes: 0 },
  settled: 0,
  findings: {
    ownerless: { objects: ownerless, bytes: 7 },
    missing: { objects: 0, bytes: 0 },
    sizeMismatches: 0,
    digestMismatches: 0
  },
  repaired: null
})

const records = (promised: Promised): void => {
  promised("returns the audit that ended last, in whatever order they were recorded", () =>
    Effect.gen(function* () {
      const { last, record } = (yield* Database).audit
      assert.isNull(yield* last)
      yield* record({ endedAt: now, summary: summary(1) })
      assert.deepStrictEqual(yield* last, { endedAt: now, summary: summary(1) })
      yield* record({ endedAt: now - 1, summary: summary(2) })
      assert.deepStrictEqual(yield* last, { endedAt: now, summary: summary(1) })
      yield* record({ endedAt: now, summary: summary(3) })
      assert.deepStrictEqual(yield* last, { endedAt: now, summary: summary(3) })
    })
  )
}

export const audit = (promised: Promised): void => {
  describe("audit.page", () => pages(promised))
  describe("audit.lookup", () => questions(promised))
  describe("audit.referrers", () => references(promised))
  describe("audit.record", () => records(promised))
}
