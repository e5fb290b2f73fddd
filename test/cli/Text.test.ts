import { describe, expect, it } from "vitest"
import * as Text from "../../src/cli/Text.ts"
import {
  emptyPhase,
  outcomeOf,
  type PhaseReport,
  type SweepReport,
  totalsOf
} from "../../src/domain/SweepReport.ts"
import { phaseNames } from "../fixtures/phases.ts"

type Phases = { readonly [K in keyof SweepReport["phases"]]?: Partial<PhaseReport> }

const nothingLeft = {
  waiting: 0,
  condemned: 0,
  condemnedBytes: 0,
  journaled: 0,
  intents: 0,
  sessions: 0,
  pins: 0,
  deadLetters: 0,
  nextDueAt: null
}

/** The report of a sweep whose phases did this. */
const reportOf = (given: Phases, rest: Partial<SweepReport> = {}): SweepReport => {
  const phases = Object.fromEntries(
    phaseNames.map((name) => [name, { ...emptyPhase, ...given[name] }])
  ) as unknown as SweepReport["phases"]
  return {
    sweep: "20261122T023000.000Z-0000",
    startedAt: "2026-11-22T02:30:00.000Z",
    durationMillis: 12_345,
    dryRun: false,
    outcome: outcomeOf(phases),
    guards: [],
    store: null,
    phases,
    totals: totalsOf(phases, rest.store ?? null),
    left: nothingLeft,
    ...rest
  }
}

describe("numbers", () => {
  it("are grouped by thousands", () => {
    expect([0, 999, 1000, 1_234_567].map(Text.count)).toEqual(["0", "999", "1,000", "1,234,567"])
  })

  it("of one thing are singular", () => {
    expect([0, 1, 2, 1000].map((n) => Text.many(n, "orphan"))).toEqual([
      "0 orphans",
      "1 orphan",
      "2 orphans",
      "1,000 orphans"
    ])
  })

  it("of bytes are in decimal units and never show four digits before the point, up to petabytes", () => {
    const sizes = [0, 1, 999, 1000, 1049, 999_949, 999_950, 1_000_000, 5e9, 1e12, 999e12, 1e15, 1e18]
    expect(sizes.map(Text.bytes)).toEqual([
      "0 B",
      "1 B",
      "999 B",
      "1.0 KB",
      "1.0 KB",
      "999.9 KB",
      "1.0 MB",
      "1.0 MB",
      "5.0 GB",
      "1.0 TB",
      "999.0 TB",
      "1.0 PB",
      "1000.0 PB"
    ])
  })
})

describe("spans", () => {
  it("below a minute have tenths of a second", () => {
    expect([0, 49, 50, 999, 1000, 59_949].map(Text.span)).toEqual([
      "0.0 s",
      "0.0 s",
      "0.1 s",
      "1.0 s",
      "1.0 s",
      "59.9 s"
    ])
  })

  it("from a minute on have two units that follow one another, without zeros", () => {
    const minute = 60_000
    const hour = 60 * minute
    const spans = [
      59_950,
      minute,
      minute + 1000,
      hour - 1,
      hour,
      hour + 1000,
      hour + 59 * minute + 59_000,
      24 * hour,
      25 * hour + minute,
      24 * hour + minute,
      400 * 24 * hour
    ]
    expect(spans.map(Text.span)).toEqual([
      "1 min",
      "1 min",
      "1 min 1 s",
      "1 h",
      "1 h",
      "1 h",
      "1 h 59 min",
      "1 d",
      "1 d 1 h",
      "1 d",
      "400 d"
    ])
  })
})

describe("a report", () => {
  it("of a sweep with nothing to do is short", () => {
    expect(Text.report(reportOf({}))).toMatchInlineSnapshot(`
      "Sweep of 2026-11-22T02:30:00.000Z: complete; took 12.3 s
                  seen  eligible  deleted  size  failed  kept
      uploads        0         0        0   0 B
      multiparts     0         0        0   0 B
      orphans        0         0        0   0 B
      leftovers      0         0        0   0 B
      journal        0         0        0   0 B
      total                    0        0   0 B  0
      Left: 0 orphans within grace, 0 condemned (0 B), 0 journaled"
    `)
  })

  it("aligns its columns, even for large numbers", () => {
    const report = reportOf(
      {
        uploads: { seen: 12, eligible: 4, deleted: 4, bytes: 4_000_000, kept: { grace: 8 } },
        orphans: {
          seen: 1_234_567,
          eligible: 45_678,
          deleted: 45_678,
          bytes: 3.21e12,
          kept: { quarantine: 1200, grace: 17, referenced: 1, busy: 3 }
        },
        journal: { seen: 1, eligible: 1, deleted: 1, bytes: 7 }
      },
      {
        left: {
          waiting: 17,
          condemned: 1200,
          condemnedBytes: 9.9e9,
          journaled: 0,
          intents: 0,
          sessions: 0,
          pins: 0,
          deadLetters: 0,
          nextDueAt: "2026-11-22T03:30:00.000Z"
        }
      }
    )
    expect(Text.report(report)).toMatchInlineSnapshot(`
      "Sweep of 2026-11-22T02:30:00.000Z: complete; took 12.3 s
                       seen  eligible  deleted    size  failed  kept
      uploads            12         4        4  4.0 MB          8 grace
      multiparts          0         0        0     0 B
      orphans     1,234,567    45,678   45,678  3.2 TB          3 busy, 17 grace, 1,200 quarantine, 1 referenced
      leftovers           0         0        0     0 B
      journal             1         1        1     7 B
      total                    45,683   45,683  3.2 TB  0
      Left: 17 orphans within grace, 1,200 condemned (9.9 GB), 0 journaled; next due 2026-11-22T03:30:00.000Z"
    `)
  })

  it("of a failed sweep counts failures by reason, and names each error once with the phases it ended", () => {
    const error = {
      tag: "StorageError",
      message: 'Storage delete of "b" failed (Unavailable): refused.'
    } as const
    const report = reportOf({
      uploads: { seen: 3, eligible: 3, stoppedBy: "failure", error },
      orphans: {
        seen: 9,
        eligible: 5,
        deleted: 2,
        bytes: 10,
        failed: { InternalError: 1, AccessDenied: 2 }
      },
      journal: { stoppedBy: "failure", error }
    })
    expect(Text.report(report)).toMatchInlineSnapshot(`
      "Sweep of 2026-11-22T02:30:00.000Z: incomplete, see below; took 12.3 s
                  seen  eligible  deleted  size  failed                           kept
      uploads        3         3        0   0 B
      multiparts     0         0        0   0 B
      orphans        9         5        2  10 B  2 AccessDenied, 1 InternalError
      leftovers      0         0        0   0 B
      journal        0         0        0   0 B
      total                    8        2  10 B  3
      uploads, journal: Storage delete of "b" failed (Unavailable): refused.
      Left: 0 orphans within grace, 0 condemned (0 B), 0 journaled"
    `)
  })

  it("of a refused sweep says what is wrong, and that nothing was deleted", () => {
    const message =
      "The collector refuses to work on this catalogue:\n  public.tags (constraint tags_fk): ON DELETE CASCADE\n    fix: ALTER TABLE …"
    const phase = { stoppedBy: "failure", error: { tag: "SchemaRefused", message } } as const
    const report = reportOf({ uploads: phase, orphans: phase, journal: phase }, { left: null })
    expect(Text.report(report)).toMatchInlineSnapshot(`
      "Sweep of 2026-11-22T02:30:00.000Z: refused by the schema guard, nothing was deleted; took 12.3 s
                  seen  eligible  deleted  size  failed  kept
      uploads        0         0        0   0 B
      multiparts     0         0        0   0 B
      orphans        0         0        0   0 B
      leftovers      0         0        0   0 B
      journal        0         0        0   0 B
      total                    0        0   0 B  0
      uploads, orphans, journal: The collector refuses to work on this catalogue:
        public.tags (constraint tags_fk): ON DELETE CASCADE
          fix: ALTER TABLE …"
    `)
  })

  it("of a sweep that a bound ended says that the next sweep continues", () => {
    const report = reportOf({ orphans: { seen: 10, eligible: 10, deleted: 10, stoppedBy: "count" } })
    expect(Text.report(report)).toMatchInlineSnapshot(`
      "Sweep of 2026-11-22T02:30:00.000Z: ended early by GC_SWEEP_MAX_DELETES; the next sweep continues from here; took 12.3 s
                  seen  eligible  deleted  size  failed  kept
      uploads        0         0        0   0 B
      multiparts     0         0        0   0 B
      orphans       10        10       10   0 B
      leftovers      0         0        0   0 B
      journal        0         0        0   0 B
      total                   10       10   0 B  0
      Left: 0 orphans within grace, 0 condemned (0 B), 0 journaled"
    `)
  })

  it("of a dry run names a few candidates and how many there are", () => {
    const report = reportOf(
      {
        uploads: { seen: 2, eligible: 2, bytes: 20, sample: ["uploads/1/0001", "uploads/1/0002"] },
        orphans: { seen: 30, eligible: 24, bytes: 2400, sample: ["sha256:aa", "sha256:bb"] },
        journal: { seen: 3, eligible: 1, kept: { "not due": 2 } }
      },
      { dryRun: true, durationMillis: 40 }
    )
    expect(Text.report(report)).toMatchInlineSnapshot(`
      "Dry run of 2026-11-22T02:30:00.000Z: complete; took 0.0 s
                  seen  eligible  deleted    size  failed  kept
      uploads        2         2        0    20 B
      multiparts     0         0        0     0 B
      orphans       30        24        0  2.4 KB
      leftovers      0         0        0     0 B
      journal        3         1        0     0 B          2 not due
      total                   27        0  2.4 KB  0
        would delete uploads/1/0001
        would delete uploads/1/0002
        would delete sha256:aa
        would delete sha256:bb
        … 27 in all
      Left: 0 orphans within grace, 0 condemned (0 B), 0 journaled"
    `)
  })

  it("of a dry run that names all candidates does not count them again", () => {
    const report = reportOf({ uploads: { seen: 1, eligible: 1, sample: ["uploads/1/1"] } }, { dryRun: true })
    expect(Text.report(report)).not.toContain("in all")
  })

  it("shows the finding of each guard once, and which guard refused", () => {
    const message = "Clocks disagree by more than 60.0 s: …"
    const phase = { stoppedBy: "failure", error: { tag: "ClockRefused", message } } as const
    const all = Object.fromEntries(phaseNames.map((name) => [name, phase]))
    const report = reportOf(all, { guards: [{ guard: "clock", decision: "refused", message }], left: null })
    const text = Text.report(report)
    expect(text.split("\n")[0]).toMatchInlineSnapshot(
      `"Sweep of 2026-11-22T02:30:00.000Z: refused by the clock guard, nothing was deleted; took 12.3 s"`
    )
    expect(text.split("\n").slice(-2)).toEqual([
      `clock: ${message}`,
      "See docs/operations.md#when-a-guard-refuses."
    ])
    expect(text.match(/Clocks disagree/g)).toHaveLength(1)
  })

  it("says what the breaker holds back while other phases delete, and what is allowed", () => {
    const message = "The breaker is open since …"
    const report = reportOf(
      {
        uploads: { seen: 1, eligible: 1, deleted: 1, bytes: 5 },
        orphans: { seen: 9, stoppedBy: "failure", error: { tag: "BreakerOpen", message } }
      },
      {
        guards: [
          { guard: "store", decision: "allowed", message: "Objects may be locked against deletion here." },
          { guard: "breaker", decision: "refused", message }
        ]
      }
    )
    expect(Text.report(report)).toMatchInlineSnapshot(`
      "Sweep of 2026-11-22T02:30:00.000Z: the breaker holds back orphans, see below; took 12.3 s
                  seen  eligible  deleted  size  failed  kept
      uploads        1         1        1   5 B
      multiparts     0         0        0   0 B
      orphans        9         0        0   0 B
      leftovers      0         0        0   0 B
      journal        0         0        0   0 B
      total                    1        1   5 B  0
      store: Objects may be locked against deletion here.
      breaker: The breaker is open since …
      See docs/operations.md#when-the-breaker-opens.
      Left: 0 orphans within grace, 0 condemned (0 B), 0 journaled"
    `)
  })

  it("says which garbage a phase cannot find", () => {
    const unlisted = "This store does not list uploads in parts by a prefix."
    const lines = Text.report(reportOf({ multiparts: { unlisted } })).split("\n")
    expect(lines.at(-2)).toBe(`multiparts: ${unlisted}`)
  })

  it("says that delete markers free no space", () => {
    const store = { versioning: "on", objectLock: false, deletes: "markers" } as const
    const phases = { journal: { seen: 1, eligible: 1, deleted: 1, bytes: 5000 } }
    const lines = (rest: Partial<SweepReport>) => Text.report(reportOf(phases, rest)).split("\n")
    expect(lines({ store }).at(-2)).toMatchInlineSnapshot(
      `"5.0 KB are hidden behind delete markers and not reclaimed: the bucket is versioned, and S3_VERSIONED_DELETE is markers."`
    )
    expect(lines({ store, dryRun: true }).at(-2)).toContain("5.0 KB would be hidden behind delete markers")
    for (const deletes of ["objects", "versions"] as const)
      expect(lines({ store: { ...store, deletes } }).join()).not.toContain("markers")
  })

  it("counts announced uploads, upload sessions and pins only if they exist", () => {
    const left = { ...nothingLeft, intents: 1, sessions: 2, pins: 2 }
    expect(Text.report(reportOf({}, { left })).split("\n").at(-1)).toMatchInlineSnapshot(
      `"Left: 0 orphans within grace, 0 condemned (0 B), 0 journaled, 1 upload announced, 2 upload sessions open, 2 pins"`
    )
  })

  it("points to dead letters if they exist", () => {
    const left = { ...nothingLeft, waiting: 1, journaled: 3, deadLetters: 2 }
    expect(Text.report(reportOf({}, { left })).split("\n").at(-1)).toMatchInlineSnapshot(
      `"Left: 1 orphan within grace, 0 condemned (0 B), 3 journaled, 2 dead letters (see: artifact-gc journal)"`
    )
  })
})
