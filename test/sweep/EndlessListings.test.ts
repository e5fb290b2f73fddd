/** A listing that goes on without listing anything: a sweep must still end by its bounds. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { registryPhases } from "../../src/oci/RegistryPhases.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Storage, type StoredObject } from "../../src/storage/Storage.ts"
import { Sweep, type SweepOptions } from "../../src/sweep/Sweep.ts"
import * as AllDatabases from "../fixtures/Database.ts"

/** One answer a second, none of which lists anything. */
const endless = Stream.fromEffectRepeat(Effect.as(Effect.sleep("1 second"), []))

type Listings = Pick<Storage["Service"], "list" | "multiparts">

/** Sweeps a store with these listings, and returns the report after ten minutes, if the sweep ended. */
const swept = Effect.fnUntraced(function* (listings: Partial<Listings>, options: SweepOptions = {}) {
  const store = Layer.effect(
    Storage,
    Effect.map(Storage, (inner) => Storage.of({ ...inner, ...listings }))
  ).pipe(Layer.provide(MemoryStorage.layer))
  const sweep = Sweep.layerUnchecked({ maxDuration: Duration.seconds(60), phases: registryPhases }).pipe(
    Layer.provide(Layer.mergeAll(AllDatabases.inMemory(), store))
  )
  const { once } = Context.get(yield* Layer.build(sweep), Sweep)
  const fiber = yield* Effect.forkChild(once(options))
  for (let n = 0; n < 600; n++) yield* TestClock.adjust("1 second")
  const exit = fiber.pollUnsafe()
  yield* Fiber.interrupt(fiber)
  return exit === undefined ? undefined : yield* exit
})

const list = (): Stream.Stream<ReadonlyArray<StoredObject>> => endless

describe("a sweep whose listings list nothing and do not end", () => {
  it.effect("ends after GC_SWEEP_MAX_DURATION, and its other phases run", () =>
    Effect.gen(function* () {
      const report = yield* swept({ list, multiparts: () => endless })
      assert.strictEqual(report?.outcome, "bounded")
      assert.isAtMost(report?.durationMillis ?? 0, 62_000)
      for (const phase of ["uploads", "multiparts", "leftovers"] as const) {
        assert.deepInclude(report?.phases[phase], { seen: 0, stoppedBy: "time", error: null }, phase)
      }
    })
  )

  it.effect("ends with a dry run's time, too", () =>
    Effect.gen(function* () {
      const report = yield* swept({ list, multiparts: () => endless }, { dryRun: true })
      assert.isAtMost(report?.durationMillis ?? Number.POSITIVE_INFINITY, 62_000)
    })
  )

  it.effect("ends when it is told to stop", () =>
    Effect.gen(function* () {
      let asked = 0
      const report = yield* swept(
        { list, multiparts: () => endless },
        { stopping: Effect.sync(() => ++asked > 3) }
      )
      assert.isAtMost(report?.durationMillis ?? Number.POSITIVE_INFINITY, 10_000)
      assert.strictEqual(report?.phases.uploads.stoppedBy, "stopped")
    })
  )

  for (const phase of ["list", "multiparts"] as const) {
    it.effect(`control: does not end where the store keeps its empty pages of ${phase} to itself`, () =>
      Effect.gen(function* () {
        const silent = Stream.filter(endless, () => false)
        assert.isUndefined(yield* swept({ [phase]: () => silent }))
      })
    )
  }
})
