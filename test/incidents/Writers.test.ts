/** Reports of races between a push and a collector. See docs/design/incidents.md. */

import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Fiber, Random, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as Facts from "../../src/testing/Facts.ts"
import { hangsAfter, hangsBefore, lands } from "../../src/testing/Faults.ts"
import {
  artifact,
  blobStore,
  bytesOf,
  digestOf,
  keyOf,
  put,
  read,
  settled,
  upload
} from "../fixtures/BlobStores.ts"
import { BlobStore } from "../fixtures/Referring.ts"
import * as Direct from "../fixtures/World.ts"
import {
  day,
  hour,
  killedWhen,
  objects,
  passing,
  sound,
  sweep,
  sweepAfter,
  World,
  type Wrapper,
  world
} from "../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }

/** Creates a barrier: a fiber that arrives waits there until `go`. */
const barrier = Effect.gen(function* () {
  const [arrived, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  return {
    stop: Effect.andThen(Deferred.succeed(arrived, undefined), Deferred.await(go)),
    arrived: Deferred.await(arrived),
    go: Deferred.succeed(go, undefined)
  }
})

const broken = Effect.flatMap(World, ({ state, store }) => Facts.invariants(state, store))

describe("quay/quay#6318: a blob and its protection were written in two transactions", () => {
  /** Pushes a layer, refers to it some time later, reads it, and removes the reference. */
  const pushed = Effect.fnUntraced(function* (n: number, cycle: number, pin: Duration.Input) {
    const store = yield* BlobStore
    const layer = `layer ${(n * 7 + cycle) % 10}`
    const tag = artifact(`app-${n}`, layer)
    const stored = yield* store.put(Stream.make(bytesOf(layer)), { digest: digestOf(layer), pin })
    yield* Effect.sleep(yield* Random.nextIntBetween(0, 400))
    yield* store.reference([tag], { release: stored.pin === null ? [] : [stored.pin] })
    assert.strictEqual(yield* read(layer), layer)
    yield* store.unreference([tag])
    yield* Effect.sleep(yield* Random.nextIntBetween(0, 200))
  })

  /** Returns the failures of 40 writers that push again and again while a collector sweeps every 100 ms. */
  const unknownAmong40 = Effect.fnUntraced(function* (pin: Duration.Input) {
    const { database, state, storage } = yield* World
    const slow = hangsBefore(Effect.sleep("5 millis"))
    database.always(() => slow)
    storage.always(() => slow)
    const collect = Effect.flatMap(Sweep, (sweep) => Effect.delay(sweep.once(), "100 millis"))
    const collector = yield* Effect.forkChild(Effect.forever(collect))
    const outcomes = yield* passing(
      Effect.forEach(
        Array(40).keys(),
        (n) => Effect.result(Effect.forEach(Array(5).keys(), (cycle) => pushed(n, cycle, pin))),
        { concurrency: "unbounded" }
      )
    )
    yield* Fiber.interrupt(collector)
    assert.isAbove(database.count("orphans.purge"), 5, "the collector ran")
    assert.isEmpty(state.references)
    yield* sound
    return outcomes.flatMap((outcome) => (Result.isFailure(outcome) ? [outcome.failure._tag] : []))
  })

  it.effect("40 writers never get BlobUnknown while a collector sweeps every 100 ms", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* unknownAmong40("1 hour"), [])
      const { database, storage } = yield* World
      database.heal()
      storage.heal()
      yield* settled
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Random.withSeed("quay"), Effect.provide(blobStore({}, noWaits)))
  )

  it.effect("control: without a pin in the transaction of the blob, some writers get BlobUnknown", () =>
    Effect.gen(function* () {
      assert.include(yield* unknownAmong40(0), "BlobUnknown")
    }).pipe(Random.withSeed("quay"), Effect.provide(blobStore({}, noWaits)))
  )
})

describe("artifact-keeper/artifact-keeper#3085, #3158, #3212: the re-check and the delete are two steps", () => {
  const stops = {
    "before the re-check": ["database", "orphans.purge", hangsBefore],
    "between the re-check and the delete": ["storage", "delete", hangsBefore],
    "between the delete and its confirmation": ["storage", "delete", hangsAfter]
  } as const

  for (const [when, [service, call, hang]] of Object.entries(stops)) {
    it.effect(`bytes that are pushed again ${when} exist afterwards`, () =>
      Effect.gen(function* () {
        yield* put(upload("v1", "bytes"))
        yield* (yield* BlobStore).unreference([artifact("v1", "bytes")])
        const { database, storage } = yield* World
        const { arrived, go, stop } = yield* barrier
        if (service === "database") database.next(call, hang(stop))
        else storage.next(call, hang(stop))
        const collector = yield* Effect.forkChild(sweep())
        yield* arrived
        yield* put(upload("v2", "bytes"))
        yield* go
        yield* Fiber.join(collector)
        assert.strictEqual(yield* read("bytes"), "bytes")
        yield* settled
        assert.strictEqual(yield* read("bytes"), "bytes")
        assert.lengthOf(yield* objects, 1)
      }).pipe(Effect.provide(blobStore({}, noWaits)))
    )
  }

  it.effect(
    "control: a collector that checks, deletes the object, then the row, leaves a reference without an object",
    () =>
      Effect.gen(function* () {
        yield* put(upload("v1", "bytes"))
        yield* (yield* BlobStore).unreference([artifact("v1", "bytes")])
        const { state, store } = yield* World
        assert.isEmpty(state.references, "the re-check")
        yield* put(upload("v2", "bytes"))
        yield* store.delete([keyOf("bytes", 1)])
        if (state.references.size === 0) state.blobs.delete(digestOf("bytes"))
        assert.deepStrictEqual(yield* broken, [
          `blob ${digestOf("bytes")} has no object at ${keyOf("bytes", 1)}`
        ])
      }).pipe(Effect.provide(blobStore({}, noWaits)))
  )
})

describe("artifact-keeper/artifact-keeper#1408: each repository decided by itself what is an orphan", () => {
  const shared = Effect.gen(function* () {
    const other = { ...Direct.artifact("latest", "a"), repository: "other" }
    const file = Direct.localFile("/srv/a", "a")
    yield* Direct.upload("a", { references: [Direct.artifact("latest", "a"), other, file] })
    const left: Array<number> = []
    for (const reference of [Direct.artifact("latest", "a"), other, file]) {
      yield* Direct.drop(reference)
      yield* Effect.flatMap(Sweep, (sweep) => sweep.once())
      left.push((yield* objects).length)
    }
    return left
  })

  it.effect("a blob in two repositories and two tables is deleted after its last reference", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* shared, [1, 1, 0])
    }).pipe(Effect.provide(world(noWaits)))
  )

  /** Makes the database see only the references of the repository "library". */
  const ownRepository: Wrapper = (inner, state) => {
    const alone = <A, E>(effect: Effect.Effect<A, E>) =>
      Effect.suspend(() => {
        const all = [...state.references]
        for (const [id, reference] of all)
          if (reference._tag === "LocalFile" || reference.repository !== "library")
            state.references.delete(id)
        return Effect.ensuring(
          effect,
          Effect.sync(() => {
            for (const [id, reference] of all) state.references.set(id, reference)
          })
        )
      })
    const { orphans } = inner
    const find: typeof orphans.find = (slice) => alone(orphans.find(slice))
    const purge: typeof orphans.purge = (request) => alone(orphans.purge(request))
    return { ...inner, orphans: { ...orphans, find, purge } }
  }

  it.effect("control: a decision for one repository deletes a blob that another repository refers to", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* shared, [0, 0, 0])
    }).pipe(Effect.provide(world(noWaits, ownRepository)))
  )
})

describe("eng-floe/floecat#390: a DELETE that timed out at the client took effect later", () => {
  it.effect("content that is pushed before the late DELETE is kept", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* put(upload("v1", "bytes"))
      yield* (yield* BlobStore).unreference([artifact("v1", "bytes")])
      storage.next("delete", lands("TimedOut", "10 seconds"))
      assert.deepInclude(yield* sweep(), { outcome: "failed" })
      assert.deepStrictEqual(yield* put(upload("v2", "bytes")), ["uploaded"])
      assert.lengthOf(yield* objects, 2)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* objects, [keyOf("bytes", 2)], "the late DELETE has taken effect")
      assert.strictEqual(yield* read("bytes"), "bytes")
      yield* settled
      assert.strictEqual(yield* read("bytes"), "bytes")
    }).pipe(Effect.provide(blobStore({}, noWaits)))
  )

  it.effect("control: if the key depends only on the content, the late DELETE removes it", () =>
    Effect.gen(function* () {
      const { state, storage } = yield* World
      yield* Direct.upload("a")
      storage.next("delete", lands("TimedOut", "10 seconds"))
      yield* Effect.flatMap(Sweep, (sweep) => sweep.once())
      yield* Direct.stage(Direct.blobKey("a"))
      const row = {
        key: Direct.blobKey("a"),
        sizeBytes: 1,
        createdAt: Direct.start,
        lastUsedAt: Direct.start
      }
      state.blobs.set(Direct.digest("a"), row)
      state.references.set("v2", Direct.artifact("v2", "a"))
      yield* TestClock.adjust("10 seconds")
      assert.include(yield* broken, "blob a has no object at blobs/a/1")
    }).pipe(Effect.provide(world(noWaits)))
  )
})

describe("zhaofengli/attic#64, #65: a crash strands pending rows", () => {
  /**
   * Runs a push and a sweep that are killed at their `index`-th call. Returns false if they made fewer calls.
   */
  const killedAt = Effect.fnUntraced(function* (index: number, hang: typeof hangsBefore) {
    const { database, storage } = yield* World
    const died = yield* Deferred.make<void>()
    let calls = 0
    const rule = () =>
      calls++ === index ? hang(Effect.andThen(Deferred.succeed(died, undefined), Effect.never)) : undefined
    database.always(rule)
    storage.always(rule)
    yield* killedWhen(put(upload("v1", "bytes")), Deferred.await(died))
    yield* Direct.drop(artifact("v1", "bytes"))
    yield* killedWhen(sweepAfter(2 * hour), Deferred.await(died))
    database.heal()
    storage.heal()
    return yield* Deferred.isDone(died)
  })

  it.effect("after a kill at any call, the next push succeeds and the next sweeps leave no garbage", () =>
    Effect.gen(function* () {
      let strikes = 0
      for (const hang of [hangsBefore, hangsAfter]) {
        for (let index = 0, struck = true; struck; index++) {
          struck = yield* Effect.gen(function* () {
            const found = yield* killedAt(index, hang)
            yield* sound
            assert.notStrictEqual((yield* put(upload("v2", "bytes")))[0], undefined)
            assert.strictEqual(yield* read("bytes"), "bytes")
            yield* settled
            assert.strictEqual(yield* read("bytes"), "bytes")
            assert.lengthOf(yield* objects, 1)
            return found
          }).pipe(Effect.provide(blobStore({}, noWaits)))
          if (struck) strikes += 1
        }
      }
      assert.isAbove(strikes, 30)
    })
  )

  it.effect("control: without a reaper, the intent and its object stay", () =>
    Effect.gen(function* () {
      yield* Direct.abandon("a", Direct.start + hour)
      yield* sweepAfter(30 * day)
      yield* sweepAfter(day)
      const { state } = yield* World
      assert.strictEqual(state.intents.size, 1)
      assert.deepStrictEqual(yield* objects, [Direct.blobKey("a")])
    }).pipe(
      Effect.provide(
        world({}, (inner) => ({
          ...inner,
          journal: { ...inner.journal, reapIntents: () => Effect.succeed(0) }
        }))
      )
    )
  )
})

describe("goharbor/harbor#13854: a collector that died in mid-delete blocked pushes of that digest for two hours", () => {
  for (const [when, call] of [
    ["right after the row was purged", "orphans.purge"],
    ["in mid-delete", "delete"]
  ] as const) {
    it.effect(`the same digest can be pushed at once after a death ${when}`, () =>
      Effect.gen(function* () {
        const { database, storage } = yield* World
        yield* put(upload("v1", "bytes"))
        yield* (yield* BlobStore).unreference([artifact("v1", "bytes")])
        const died = yield* Deferred.make<void>()
        const dies = Effect.andThen(Deferred.succeed(died, undefined), Effect.never)
        if (call === "delete") storage.next(call, hangsBefore(dies))
        else database.next(call, hangsAfter(dies))
        yield* killedWhen(sweep(), Deferred.await(died))
        const before = yield* Clock.currentTimeMillis
        assert.deepStrictEqual(yield* put(upload("v2", "bytes")), ["uploaded"])
        assert.strictEqual(yield* Clock.currentTimeMillis, before, "the push did not wait")
        assert.strictEqual(yield* read("bytes"), "bytes")
        yield* settled
        assert.deepStrictEqual(yield* objects, [keyOf("bytes", 2)])
      }).pipe(Effect.provide(blobStore({}, noWaits)))
    )
  }
})
