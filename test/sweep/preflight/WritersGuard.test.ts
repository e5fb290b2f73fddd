/** Whether unannounced writers share the catalogue is asked, and never guessed. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { codeOf } from "../../../src/cli/SweepCommand.ts"
import { verdictOf } from "../../../src/sweep/preflight/WritersGuard.ts"
import { blobs, day, objects, sweep, upload, World, world } from "../../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }

describe("the verdict on the answer", () => {
  const cases = [
    ["no answer, a catalogue that we made", null, false, false, null, false],
    ["no answer, a catalogue that existed", null, true, false, "unsaid", false],
    ["no answer, a catalogue that existed, triggers", null, true, true, null, true],
    ["no answer, a catalogue that we made, triggers", null, false, true, null, false],
    ["none, a catalogue that existed", "none", true, false, null, false],
    ["none, triggers", "none", true, true, null, true],
    ["guarded, triggers", "guarded", true, true, null, false],
    ["guarded, no triggers", "guarded", true, false, "unguarded", false],
    ["guarded, no triggers, a catalogue that we made", "guarded", false, false, "unguarded", false]
  ] as const

  it.each(cases)("%s", (_, answer, existed, guarded, refusal, hasFinding) => {
    const installation = { catalogueExisted: existed, unannouncedWritersGuarded: guarded }
    const verdict = verdictOf(answer, installation)
    assert.strictEqual(verdict.refusal, refusal)
    assert.strictEqual(verdict.finding !== null, hasFinding)
  })
})

describe("the writers guard", () => {
  const garbage = Effect.gen(function* () {
    const { state } = yield* World
    state.installation.catalogueExisted = true
    yield* upload("dead")
    yield* TestClock.adjust(3 * day)
  })

  it.effect("refuses a sweep beside a catalogue that existed, and says what each answer means", () =>
    Effect.gen(function* () {
      yield* garbage
      const report = yield* sweep()
      assert.strictEqual(report.outcome, "refused")
      assert.strictEqual(codeOf(report), 4)
      const [finding] = report.guards
      assert.deepInclude(finding, { guard: "writers", decision: "refused" })
      for (const words of [
        "Nothing was deleted.",
        "GC_UNANNOUNCED_WRITERS=none (unannouncedWriters) says",
        "GC_UNANNOUNCED_WRITERS=guarded says",
        "migrate --guard-unannounced-writers",
        "A wrong none loses bytes"
      ])
        assert.include(finding?.message, words)
      assert.lengthOf(yield* blobs, 1)
      assert.lengthOf(yield* objects, 1)
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("lets a dry run show its plan, and says that a sweep would refuse", () =>
    Effect.gen(function* () {
      yield* garbage
      const report = yield* sweep({ dryRun: true })
      const [finding] = report.guards
      assert.deepInclude(finding, { guard: "writers", decision: "allowed" })
      assert.include(finding?.message, "A sweep would refuse: ")
      assert.strictEqual(report.phases.orphans.seen, 1)
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("lets sweeps begin once the operator has answered", () =>
    Effect.gen(function* () {
      yield* garbage
      assert.strictEqual((yield* sweep()).totals.deleted, 1)
    }).pipe(Effect.provide(world({ ...noWaits, unannouncedWriters: "none" })))
  )

  it.effect("refuses where the answer is guarded and the triggers are not installed", () =>
    Effect.gen(function* () {
      yield* garbage
      const report = yield* sweep()
      assert.strictEqual(report.outcome, "refused")
      assert.include(report.guards[0]?.message, "the triggers against unannounced writers are not installed")
    }).pipe(Effect.provide(world({ ...noWaits, unannouncedWriters: "guarded" })))
  )
})
