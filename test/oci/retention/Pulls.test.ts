/** How pulls are recorded without a write of their own, and the rule that keeps what was pulled lately. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { TestClock } from "effect/testing"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { parse, Retention } from "../../../src/oci/retention/RetentionRules.ts"
import { fails } from "../../../src/testing/Faults.ts"
import { digestOf, indexOf, pull, pushImage, putManifest, registry } from "../../fixtures/oci/Repositories.ts"
import { counts, day, hour, minute, settle, start, sweep, World } from "../../fixtures/World.ts"

const repository = "library/one"

const find = (reference: string) =>
  Effect.flatMap(Repositories, (repositories) => repositories.manifest(repository, reference))

/** When each tag was pulled, in minutes since the beginning. */
const pulled = Effect.map(World, ({ state }) =>
  Object.fromEntries(
    [...state.tags.values()].flatMap(({ name, pulledAt }) =>
      pulledAt === undefined ? [] : [[name, (pulledAt - start) / minute]]
    )
  )
)

const writes = Effect.map(World, ({ database }) => database.count("retention.record"))

const pass = (millis: number) => Effect.andThen(TestClock.adjust(millis), settle)

describe("a pull", () => {
  it.effect("is noted, and written with others after a minute", () =>
    Effect.gen(function* () {
      for (const tag of ["v1", "v2", "v3"]) yield* pushImage(repository, tag, [tag])
      yield* pull(repository, "v1")
      yield* pass(minute / 2)
      yield* find("v2")
      assert.deepStrictEqual([yield* writes, yield* pulled], [0, {}])
      yield* pass(minute / 2)
      assert.deepStrictEqual([yield* writes, yield* pulled], [1, { v1: 0, v2: 0.5 }])
      // Nothing runs while no client pulls.
      yield* pass(day)
      assert.strictEqual(yield* writes, 1)
    }).pipe(Effect.provide(registry()))
  )

  it.effect("of the same tag is written at most once an hour, however many there are", () =>
    Effect.gen(function* () {
      yield* pushImage(repository, "v1", ["layer"])
      for (let n = 0; n < 120; n++) {
        yield* find("v1")
        yield* find("v1")
        yield* pass(minute)
      }
      assert.deepStrictEqual([yield* writes, yield* pulled], [2, { v1: 60 }])
    }).pipe(Effect.provide(registry()))
  )

  it.effect("by digest counts for the tags of the manifest, and for the index that lists it", () =>
    Effect.gen(function* () {
      const child = yield* pushImage(repository, null, ["layer"])
      yield* putManifest(repository, "index", indexOf([child]))
      yield* pushImage(repository, "v1", ["other"])
      yield* find(digestOf(child))
      yield* pass(minute)
      assert.deepStrictEqual(yield* pulled, { index: 0 })
    }).pipe(Effect.provide(registry()))
  )

  it.effect("is answered while the database takes no record, and is written later", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* pushImage(repository, "v1", ["layer"])
      database.always(({ operation }) =>
        operation === "retention.record" ? fails("Unavailable") : undefined
      )
      yield* find("v1")
      yield* pass(10 * minute)
      assert.deepStrictEqual(yield* pulled, {})
      database.heal()
      yield* pass(minute)
      assert.deepStrictEqual(yield* pulled, { v1: 0 })
    }).pipe(Effect.provide(registry()))
  )

  it.effect("is written when the process ends", () =>
    Effect.gen(function* () {
      yield* pushImage(repository, "v1", ["layer"])
      yield* Effect.scoped(
        Effect.gen(function* () {
          const replica = yield* Layer.build(Layer.fresh(Repositories.layer()))
          yield* Effect.provide(find("v1"), replica)
        })
      )
      assert.deepStrictEqual(yield* pulled, { v1: 0 })
    }).pipe(Effect.provide(registry()))
  )
})

describe("a rule that keeps what was pulled lately", () => {
  const rules = Result.getOrThrow(
    parse(JSON.stringify({ policies: [{ repositories: ["**"], keep: [{ pulledWithin: "7 days" }] }] }))
  )
  const sweepByRules = Effect.map(
    Effect.provideService(sweep(), Retention, Effect.succeed(rules)),
    (report) => counts(report, "retention")
  )
  const tags = Effect.map(World, ({ state }) => [...state.tags.values()].map(({ name }) => name).sort())

  /** Two old tags, one of which is pulled every day. */
  const pulling = (days: number) =>
    Effect.forEach(
      Array.from({ length: days }),
      () =>
        Effect.gen(function* () {
          yield* find("used")
          yield* pass(day)
        }),
      { discard: true }
    )

  const pushed = Effect.gen(function* () {
    yield* pushImage(repository, "idle", ["a"])
    yield* pushImage(repository, "used", ["b"])
  })

  it.effect("removes the others, once pulls have been recorded for its time", () =>
    Effect.gen(function* () {
      yield* pushed
      yield* pass(30 * day)
      assert.deepInclude((yield* sweepByRules).kept, { unrecorded: 2 })
      yield* pulling(7)
      assert.deepInclude((yield* sweepByRules).kept, { rule: 1, unrecorded: 1 })
      yield* pass(3 * hour + minute)
      assert.deepInclude(yield* sweepByRules, { eligible: 1 })
      assert.deepStrictEqual(yield* tags, ["used"])
    }).pipe(Effect.provide(registry({ breakerPercent: 100 })))
  )

  it.effect("keeps all anew after a replica of an older version has moved a tag", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* pushed
      yield* pulling(8)
      const [id, row] = [...state.tags].find(([, { name }]) => name === "used") ?? assert.fail()
      const { pushedAt: _, ...undated } = row
      state.tags.set(id, undated)
      // The sweep that finds it cannot know since when.
      assert.deepInclude(yield* sweepByRules, { eligible: 0 })
      yield* pulling(6)
      assert.deepInclude((yield* sweepByRules).kept, { unrecorded: 1 })
      yield* pulling(2)
      yield* sweepByRules
      assert.deepStrictEqual(yield* tags, ["used"])
    }).pipe(Effect.provide(registry({ breakerPercent: 100 })))
  )

  it.effect("would lose a tag that an older replica serves, if it did not wait (control)", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* pushed
      yield* pass(30 * day)
      // As if pulls had been recorded for long.
      state.retention.pullsSince = start
      yield* sweepByRules
      assert.deepStrictEqual(yield* tags, [])
    }).pipe(Effect.provide(registry({ breakerPercent: 100 })))
  )
})
