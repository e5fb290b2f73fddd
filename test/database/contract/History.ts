/** What every backend promises about the reports of sweeps, and about what collectors say that they do. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import type { EndedSweep, PeerActivity } from "../../../src/database/Database.ts"
import { historyBatch } from "../../../src/database/Database.ts"
import { emptyPhase, type SweepReport } from "../../../src/domain/SweepReport.ts"
import { Database } from "../../fixtures/Database.ts"
import { hour, minute, now, type Promised } from "../../fixtures/samples.ts"

const report = (name: string): SweepReport => ({
  sweep: name,
  startedAt: new Date(now).toISOString(),
  durationMillis: 1000,
  dryRun: false,
  outcome: "complete",
  guards: [{ guard: "pause", decision: "allowed", message: "o'brien — ü\n\\n" }],
  store: null,
  phases: {
    uploads: emptyPhase,
    multiparts: emptyPhase,
    suspects: emptyPhase,
    orphans: emptyPhase,
    leftovers: emptyPhase,
    journal: emptyPhase
  },
  totals: { eligible: 0, deleted: 0, bytes: 0, reclaimedBytes: 0, failed: 0 },
  left: null
})

const ended = (name: string, endedAt: number, collector = "a"): EndedSweep => ({
  sweep: name,
  collector,
  startedAt: endedAt - minute,
  endedAt,
  report: report(name)
})

const idle: PeerActivity = { at: now, sweep: null, nextDueAt: now + hour }

const ever = 0

export const remembering = (promised: Promised): void => {
  describe("the history", () => {
    promised("returns sweeps as they were recorded, the newest first, by pages", () =>
      Effect.gen(function* () {
        const { history } = yield* Database
        assert.deepStrictEqual(yield* history.page(ever, null, 9), [])
        for (const n of [1, 2, 3]) yield* history.record(ended(`s${n}`, now + n * minute), ever, idle)
        const all = yield* history.page(ever, null, 9)
        assert.deepStrictEqual(
          all.map(({ id: _, ...entry }) => entry),
          [3, 2, 1].map((n) => ({ ...ended(`s${n}`, now + n * minute), outcome: "complete" }))
        )
        const [first] = yield* history.page(ever, null, 1)
        assert.strictEqual(first?.sweep, "s3")
        const rest = yield* history.page(ever, first?.id ?? null, 9)
        assert.deepStrictEqual(rest, all.slice(1))
        const since = yield* history.page(now + 2 * minute, null, 9)
        assert.deepStrictEqual(
          since.map(({ sweep }) => sweep),
          ["s3", "s2"]
        )
      })
    )

    promised("forgets what ended before the given instant, a batch at a time, oldest first", () =>
      Effect.gen(function* () {
        const { history } = yield* Database
        const total = historyBatch + 2
        for (let n = 0; n < total; n++) yield* history.record(ended(`s${n}`, now + n), ever, idle)
        yield* history.record(ended("late", now + hour), now + minute, idle)
        const left = yield* history.page(ever, null, 2 * total)
        assert.deepStrictEqual(
          left.map(({ sweep }) => sweep),
          ["late", `s${total - 1}`, `s${total - 2}`]
        )
        yield* history.record(ended("later", now + 2 * hour), now + hour, idle)
        assert.deepStrictEqual(
          (yield* history.page(ever, null, 9)).map(({ sweep }) => sweep),
          ["later", "late"],
          "a sweep that ended in that instant stays"
        )
      })
    )
  })

  describe("what a collector does", () => {
    const sweeping: PeerActivity = {
      at: now + minute,
      sweep: {
        name: "s",
        startedAt: now,
        phases: [{ phase: "journal", seen: 3, deleted: 2, bytes: 99, expected: null, since: now }]
      },
      nextDueAt: null
    }

    promised("is what it said last: with its registration, between, and with the end of a sweep", () =>
      Effect.gen(function* () {
        const { history, peers } = yield* Database
        const said = Effect.map(peers.others(now, ""), (all) => all.map(({ activity }) => activity))
        yield* peers.register(now, now + hour, { id: "a", settings: {} })
        assert.deepStrictEqual(yield* said, [null])
        yield* peers.register(now, now + hour, { id: "a", settings: {}, activity: idle })
        assert.deepStrictEqual(yield* said, [idle])
        yield* peers.register(now, now + hour, { id: "a", settings: {} })
        assert.deepStrictEqual(yield* said, [idle], "registered without saying")
        yield* peers.tell("a", sweeping, null)
        assert.deepStrictEqual(yield* said, [sweeping])
        yield* history.record(ended("s", now + minute), ever, idle)
        assert.deepStrictEqual(yield* said, [idle])
      })
    )

    promised("is recorded of no collector that is unknown", () =>
      Effect.gen(function* () {
        const { history, peers } = yield* Database
        yield* peers.tell("gone", idle, now + hour)
        yield* history.record(ended("s", now, "gone"), ever, idle)
        assert.deepStrictEqual(yield* peers.others(now, ""), [])
        assert.lengthOf(yield* history.page(ever, null, 9), 1)
      })
    )
  })
}
