import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import type { StorageError } from "../../src/domain/StorageError.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { dies, fails, hangsAfter, hangsBefore, lands } from "../../src/testing/Faults.ts"
import * as FaultyStorage from "../../src/testing/FaultyStorage.ts"
import { storageContract } from "../storage/Storage.contract.ts"

const faulty = (script: FaultyStorage.StorageScript) =>
  FaultyStorage.layer(script).pipe(Layer.provide(MemoryStorage.layer))

storageContract("memory, with a script that has no faults", faulty(FaultyStorage.script()))

const [a, b] = [ObjectKey.make("a"), ObjectKey.make("b")]

/** Runs `play` with a store that contains a and b, and with its script. */
const stage = <A, E>(
  play: (script: FaultyStorage.StorageScript, storage: Storage["Service"]) => Effect.Effect<A, E>
) =>
  Effect.suspend(() => {
    const script = FaultyStorage.script()
    return Effect.gen(function* () {
      const storage = yield* Storage
      for (const key of [a, b]) yield* storage.put(key, Stream.make(new Uint8Array(1)), 1)
      return yield* play(script, storage)
    }).pipe(Effect.provide(faulty(script)))
  })

const isThere = (storage: Storage["Service"], key: ObjectKey) => Effect.map(storage.head(key), Option.isSome)

const reasonOf = <A, E extends { readonly reason: string }>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

describe("a store with a script", () => {
  it.effect("fails the next calls of an operation, as often and in the order scripted, and no others", () =>
    stage((script, storage) =>
      Effect.gen(function* () {
        script.next("delete", fails("Throttled"), 2)
        script.next("delete", fails("AccessDenied"))
        assert.isTrue(yield* isThere(storage, a))
        const remove = reasonOf(storage.delete([a]))
        assert.deepStrictEqual(
          [yield* remove, yield* remove, yield* remove],
          ["Throttled", "Throttled", "AccessDenied"]
        )
        assert.isTrue(yield* isThere(storage, a))
        assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
        assert.isFalse(yield* isThere(storage, a))
      })
    )
  )

  it.effect("can be down until it is healed", () =>
    stage((script, storage) =>
      Effect.gen(function* () {
        script.next("head", fails("Unavailable"), Number.POSITIVE_INFINITY)
        for (let n = 0; n < 100; n++) assert.strictEqual(yield* reasonOf(storage.head(a)), "Unavailable")
        script.heal()
        assert.isTrue(yield* isThere(storage, a))
      })
    )
  )

  it.effect("times out and takes effect at once, or later although the caller was killed", () =>
    stage((script, storage) =>
      Effect.gen(function* () {
        script.next("delete", lands("TimedOut"))
        assert.strictEqual(yield* reasonOf(storage.delete([a])), "TimedOut")
        assert.isFalse(yield* isThere(storage, a))

        script.next("delete", lands("TimedOut", "10 seconds"))
        const caller = yield* Effect.forkChild(Effect.andThen(Effect.exit(storage.delete([b])), Effect.never))
        yield* TestClock.adjust("9999 millis")
        yield* Fiber.interrupt(caller)
        assert.isTrue(yield* isThere(storage, b))
        yield* TestClock.adjust("1 millis")
        assert.isFalse(yield* isThere(storage, b))
      })
    )
  )

  it.effect("hangs before its work, or between its work and its answer", () =>
    stage((script, storage) =>
      Effect.gen(function* () {
        const release = yield* Deferred.make<void>()
        script.next("delete", hangsBefore(Deferred.await(release)))
        script.next("delete", hangsAfter(Effect.sleep("1 minute")))
        const first = yield* Effect.forkChild(storage.delete([a]))
        const second = yield* Effect.forkChild(storage.delete([b]))
        yield* TestClock.adjust("59 seconds")
        assert.deepStrictEqual([yield* isThere(storage, a), yield* isThere(storage, b)], [true, false])
        assert.isUndefined(second.pollUnsafe())
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(first)
        assert.isFalse(yield* isThere(storage, a))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(second)
      })
    )
  )

  it.effect("refuses some keys of a delete and deletes the others", () =>
    stage((script, storage) =>
      Effect.gen(function* () {
        script.refused.set(a, "AccessDenied")
        assert.deepStrictEqual(yield* storage.delete([a, b]), {
          deleted: [b],
          failed: [{ key: a, reason: "denied", code: "AccessDenied", detail: "scripted fault" }]
        })
        script.refused.set(a, "SlowDown")
        assert.deepInclude((yield* storage.delete([a])).failed[0], { reason: "throttled", code: "SlowDown" })
        script.refused.delete(a)
        assert.deepStrictEqual(yield* storage.delete([a]), { deleted: [a], failed: [] })
      })
    )
  )

  it.effect("fails a listing at any of its pages", () =>
    stage((script, storage) =>
      Effect.gen(function* () {
        for (let n = 0; n < 2500; n++)
          yield* storage.put(ObjectKey.make(`many/${String(n).padStart(4, "0")}`), Stream.empty, 0)
        let listed = 0
        const pages = storage.list("many/").pipe(
          Stream.tap((page) =>
            Effect.sync(() => {
              listed += page.length
            })
          ),
          Stream.runDrain
        )
        script.always(({ operation }) =>
          operation === "list" && script.count("list") === 3 ? fails("Unavailable") : undefined
        )
        assert.strictEqual(yield* reasonOf(pages), "Unavailable")
        assert.strictEqual(listed, 2000)
      })
    )
  )

  it.effect("fails copies, unfinished uploads and what the store reports about itself", () =>
    stage((script, storage) =>
      Effect.gen(function* () {
        const c = ObjectKey.make("c")
        const upload = { key: a, uploadId: "U" }
        script.calls.length = 0
        const verbs = [
          ["copy", "copy", storage.copy(a, c), [a, c], "a"],
          ["multiparts", "list", Stream.runDrain(storage.multiparts("p/")), ["p/"], "p/"],
          ["abort", "abort", storage.abortMultipart(upload), [upload], "a"],
          ["skew", "probe", storage.skew, [], ""],
          ["traits", "probe", storage.traits, [], ""]
        ] as const
        for (const [verb, operation, effect, args, subject] of verbs) {
          script.next(verb, fails("AccessDenied"))
          const error = yield* Effect.flip(effect as Effect.Effect<unknown, StorageError>)
          assert.deepInclude(error, { operation, subject, reason: "AccessDenied" })
          yield* effect
          assert.deepStrictEqual<unknown>(script.calls.splice(0), [
            { operation: verb, args },
            { operation: verb, args }
          ])
        }
        assert.isTrue(yield* isThere(storage, c))
      })
    )
  )

  it.effect("passes on the options of a put, and its calls", () =>
    Effect.gen(function* () {
      const script = FaultyStorage.script()
      const told: Array<string> = []
      const inner = Layer.effect(
        Storage,
        Effect.map(Storage, (storage) =>
          Storage.of({
            ...storage,
            put: (key, body, sizeBytes, options) =>
              Effect.andThen(options?.onMultipart?.("U") ?? Effect.void, storage.put(key, body, sizeBytes))
          })
        )
      ).pipe(Layer.provide(MemoryStorage.layer))
      yield* Effect.gen(function* () {
        const storage = yield* Storage
        yield* storage.put(a, Stream.make(new Uint8Array(3)), null, {
          onMultipart: (id) => Effect.sync(() => void told.push(id))
        })
        assert.strictEqual(Option.getOrThrow(yield* storage.head(a)).sizeBytes, 3)
      }).pipe(Effect.provide(FaultyStorage.layer(script).pipe(Layer.provide(inner))))
      assert.deepStrictEqual(told, ["U"])
      assert.deepStrictEqual(script.calls[0], { operation: "put", args: [a, null] })
    })
  )

  it.effect("throws, applies its rule first, and records every call", () =>
    stage((script, storage) =>
      Effect.gen(function* () {
        script.calls.length = 0
        script.next("head", fails("Throttled"))
        script.always(({ args }) => (args[0] === a ? dies("bug") : undefined))
        assert.deepStrictEqual(yield* Effect.exit(storage.head(a)), Exit.die("bug"))
        assert.strictEqual(yield* reasonOf(storage.head(b)), "Throttled")
        yield* Effect.exit(Stream.runDrain(storage.get(a, { start: 0 })))
        assert.deepStrictEqual(script.calls, [
          { operation: "head", args: [a] },
          { operation: "head", args: [b] },
          { operation: "get", args: [a, { start: 0 }] }
        ])
        assert.strictEqual(script.count("head"), 2)
      })
    )
  )
})
