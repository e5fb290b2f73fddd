/** The app in memory, where weeks take a moment. */
import { assert, describe, it } from "@effect/vitest"
import { BlobStore, MemoryDatabase, MemoryStorage, Storage, Sweep } from "artifact-gc"
import { Duration, Effect, Layer, Option, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Avatars from "./Avatars.ts"
import { Redis, RedisDown } from "./Redis.ts"

/** What happens before EXISTS answers, and after it has answered for these keys. */
interface Hooks {
  before: Effect.Effect<unknown, RedisDown>
  after: (keys: ReadonlyArray<string>) => Effect.Effect<unknown>
}

const hooks: Hooks = { before: Effect.void, after: () => Effect.void }

const hooked = Layer.effect(
  Redis,
  Effect.map(Redis, (redis) =>
    Redis.of({
      ...redis,
      exists: (keys) =>
        Effect.suspend(() => hooks.before).pipe(
          Effect.andThen(redis.exists(keys)),
          Effect.tap(() => hooks.after(keys))
        )
    })
  )
).pipe(Layer.provide(Redis.layer))

const app = () => {
  hooks.before = Effect.void
  hooks.after = () => Effect.void
  return Layer.mergeAll(
    // The test lets days pass between two sweeps, which is no sign of a restored database here.
    Sweep.Sweep.layer({ sources: [Avatars.source], presence: Duration.weeks(52) }),
    BlobStore.BlobStore.layer()
  ).pipe(Layer.provideMerge(Layer.mergeAll(hooked, MemoryDatabase.layer(), MemoryStorage.layer)))
}

const image = (size: number) => new Uint8Array(size)
const sweep = Effect.flatMap(Sweep.Sweep, ({ once }) => once())
const objects = Effect.flatMap(Storage.Storage, ({ list }) =>
  Effect.map(Stream.runCollect(list("")), (pages) => pages.flat().length)
)

/** Sweeps every two hours. */
const pass = (hours: number) =>
  Effect.forEach(Array(hours / 2), () => Effect.andThen(TestClock.adjust("2 hours"), sweep))

describe("avatars whose users are known to Redis alone", () => {
  it.effect("stay for weeks, and are deleted when their last user has left", () =>
    Effect.gen(function* () {
      yield* Avatars.set("ada", image(10))
      yield* Avatars.set("bob", image(10))
      yield* Avatars.set("eve", image(20))
      yield* pass(24 * 14)
      assert.strictEqual(yield* objects, 2)
      yield* Avatars.remove("bob")
      yield* Avatars.set("eve", image(30))
      yield* pass(24)
      assert.strictEqual(yield* objects, 2)
      assert.deepStrictEqual(yield* Effect.forEach(["ada", "bob", "eve"], Avatars.read), [
        Option.some(10),
        Option.none(),
        Option.some(30)
      ])
    }).pipe(Effect.provide(app()))
  )

  it.effect("stay while Redis is down, and each report says so", () =>
    Effect.gen(function* () {
      yield* Avatars.set("ada", image(10))
      hooks.before = Effect.fail(new RedisDown({ message: "connection refused" }))
      for (const report of (yield* pass(48)).slice(3)) {
        assert.strictEqual(report.outcome, "failed")
        assert.include(report.guards[0]?.message, 'The reference source "avatars" failed')
      }
      assert.strictEqual(yield* objects, 1)
    }).pipe(Effect.provide(app()))
  )

  /** An avatar has lost its user. Between the answer of Redis and the purge, another user gets it by `attach`. */
  const race = Effect.fnUntraced(function* <E>(
    attach: (digest: string) => Effect.Effect<unknown, E, Redis | BlobStore.BlobStore>
  ) {
    yield* Avatars.set("eve", image(20))
    const digest = yield* Avatars.set("ada", image(10))
    yield* Avatars.remove("ada")
    const context = yield* Effect.context<Redis | BlobStore.BlobStore>()
    // The first answer about it precedes its condemnation, the second its purge.
    let answers = 0
    hooks.after = (keys) =>
      keys.some((key) => key.includes(digest)) && ++answers === 2
        ? Effect.orDie(Effect.provideContext(attach(digest), context))
        : Effect.void
    yield* pass(24)
    return yield* Effect.result(Avatars.read("bob"))
  })

  it.effect("are lost without a pin, because the answer was too old (control)", () =>
    Effect.gen(function* () {
      const read = yield* race((digest) =>
        Effect.gen(function* () {
          const redis = yield* Redis
          yield* redis.sadd(`avatar:${digest}:users`, "bob")
          yield* redis.hset("avatars", "bob", digest)
        })
      )
      assert.deepInclude(read, { _tag: "Failure" })
    }).pipe(Effect.provide(app()))
  )

  it.effect("are kept by the pin that `set` takes first", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* race(() => Avatars.set("bob", image(10))),
        Result.succeed(Option.some(10))
      )
      yield* pass(48)
      assert.deepStrictEqual(yield* Avatars.read("bob"), Option.some(10))
    }).pipe(Effect.provide(app()))
  )
})
