/** A host adds a phase to a sweep: one value, and a place in the list. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { CollectorDatabase } from "../../src/database/Database.ts"
import * as MemoryDatabase from "../../src/database/Memory.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import type { Storage } from "../../src/storage/Storage.ts"
import * as Breaker from "../../src/sweep/Breaker.ts"
import { collectorPhases } from "../../src/sweep/CollectorPhases.ts"
import type { Phase } from "../../src/sweep/Phase.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"

/** What the host's phase needs. */
class Previews extends Context.Service<Previews, { readonly stale: Array<string> }>()("test/Previews") {}

const previews: Phase<Previews> = {
  name: "previews",
  timeShare: 1 / 4,
  requires: [Previews],
  run: ({ counts, dryRun, pages }) =>
    Effect.flatMap(Previews, ({ stale }) =>
      pages(() =>
        Effect.sync(() => {
          const page = dryRun ? [...stale] : stale.splice(0, 2)
          counts.seen(page.length)
          counts.eligible(page.length, 0, page)
          if (!dryRun) counts.deleted(page.length, 0)
          return dryRun || stale.length === 0 ? null : "more"
        })
      )
    )
}

const phases = [...collectorPhases, previews]

const services = (stale: Array<string>) =>
  Sweep.layerUnchecked({ phases }).pipe(
    Layer.provide([MemoryDatabase.layer(), MemoryStorage.layer, Layer.succeed(Previews, { stale })])
  )

describe("a phase of the host's own", () => {
  it.effect("runs in its place, with its own services, and reports under its name", () => {
    const stale = ["a", "b", "c"]
    return Effect.gen(function* () {
      const sweep = yield* Sweep
      const plan = yield* sweep.once({ dryRun: true })
      assert.deepInclude(plan.phases.previews, { seen: 3, eligible: 3, deleted: 0, sample: ["a", "b", "c"] })
      assert.lengthOf(stale, 3)
      const report = yield* sweep.once()
      assert.deepStrictEqual(Object.keys(report.phases), [...new Set(phases.map(({ name }) => name))])
      assert.deepInclude(report.phases.previews, { seen: 3, deleted: 3 })
      assert.deepInclude(report, { outcome: "complete" })
      assert.strictEqual(report.totals.deleted, 3)
      assert.isEmpty(stale)
    }).pipe(Effect.provide(services(stale)))
  })

  it("adds its services to what the layer requires", () => {
    type Required<L> = L extends Layer.Layer<infer _A, infer _E, infer R> ? R : never
    const layer = Sweep.layerUnchecked({ phases })
    const requiresAll: Previews | Storage extends Required<typeof layer> ? true : false = true
    const alone = Sweep.layerUnchecked()
    const requiresOthers: Previews extends Required<typeof alone> ? true : false = false
    assert.deepStrictEqual([requiresAll, requiresOthers], [true, false])
  })

  it.effect("that fails is reported, and the others run", () => {
    const broken: Phase = {
      name: "broken",
      timeShare: 1,
      requires: [],
      run: () => Effect.die(new Error("the host's own mistake"))
    }
    return Effect.gen(function* () {
      const report = yield* (yield* Sweep).once()
      assert.deepInclude(report.phases.broken?.error, { message: "the host's own mistake" })
      assert.strictEqual(report.outcome, "failed")
      assert.isNull(report.phases.journal.error)
    }).pipe(
      Effect.provide(
        Sweep.layerUnchecked({ phases: [broken, ...collectorPhases] }).pipe(
          Layer.provide([MemoryDatabase.layer(), MemoryStorage.layer])
        )
      )
    )
  })

  it.effect(
    "is kept by its breaker from deleting more than a mistake may take, until a person confirms",
    () => {
      const breaker: Breaker.CountingBreaker<Previews> = {
        name: "previews",
        describe: ({ blobs, totalBlobs }) => `${blobs} of ${totalBlobs} previews are stale`,
        look: "Look at them",
        exposure: () =>
          Effect.map(Previews, ({ stale }) => ({
            ...{ blobs: stale.length, bytes: 0, totalBlobs: stale.length, totalBytes: 0 }
          }))
      }
      const guarded: Phase<Previews | CollectorDatabase> = {
        ...previews,
        requires: [Previews, CollectorDatabase],
        breaker,
        run: (context) =>
          (context.dryRun
            ? Breaker.foresee(context.settings, breaker)
            : Effect.asVoid(Breaker.judge(context.settings, breaker))
          ).pipe(Effect.andThen(previews.run(context)))
      }
      const stale = Array.from({ length: 101 }, (_, n) => `preview${n}`)
      return Effect.gen(function* () {
        const { once } = yield* Sweep
        assert.include((yield* once({ dryRun: true })).phases.previews?.error?.message, "A sweep would trip")
        const report = yield* once()
        assert.strictEqual(report.outcome, "refused")
        assert.include(report.phases.previews?.error?.message, "101 of 101 previews are stale")
        assert.isNull(report.phases.journal.error)
        assert.lengthOf(stale, 101)
        const { breakers } = yield* CollectorDatabase
        yield* breakers.confirm(yield* Clock.currentTimeMillis, ["previews"])
        yield* TestClock.adjust("1 second")
        // What was confirmed may go; the breaker judges what became garbage since.
        stale.splice(50)
        assert.deepInclude((yield* once()).phases.previews, { deleted: 50, error: null })
      }).pipe(
        Effect.provide(
          Sweep.layer({ phases: [...collectorPhases, guarded] }).pipe(
            Layer.provideMerge(
              Layer.mergeAll(MemoryDatabase.layer(), MemoryStorage.layer, Layer.succeed(Previews, { stale }))
            )
          )
        )
      )
    }
  )
})
