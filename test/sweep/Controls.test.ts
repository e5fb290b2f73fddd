/**
 * Each protection, taken away: the same steps that are safe with it must lose something without it, and the
 * invariants must show it. A test that cannot fail here proves nothing elsewhere.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as Facts from "../../src/testing/Facts.ts"
import { hangsBefore, lands } from "../../src/testing/Faults.ts"
import {
  abandon,
  artifact,
  blobKey,
  blobs,
  bury,
  day,
  digest,
  hour,
  killedWhen,
  minute,
  objects,
  push,
  stage,
  start,
  upload,
  World,
  type Wrapper,
  world
} from "../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }

const protectedWorld: Wrapper = (inner) => inner

/** A sweep that does not stop at a broken invariant; the test looks at them itself. */
const sweepAnyway = Effect.flatMap(Sweep, (sweep) => sweep.once())

const broken = Effect.flatMap(World, ({ state, store }) => Facts.invariants(state, store))

/** Runs `effect` with the contents of `map` out of sight. */
const without = <K, V, A, E, R>(map: Map<K, V>, effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const hidden = [...map]
    map.clear()
    return Effect.ensuring(
      effect,
      Effect.sync(() => {
        for (const [key, value] of hidden) map.set(key, value)
      })
    )
  })

describe("the check under lock, right before a row is deleted", () => {
  const referencedMeanwhile = Effect.gen(function* () {
    yield* upload("a")
    const { database, state } = yield* World
    const arrives = Effect.sync(() => state.references.set("theirs", artifact("theirs", "a")))
    database.next("orphans.purge", hangsBefore(arrives))
    yield* sweepAnyway
    return yield* broken
  })

  /** Judges by what the scan saw, as if nothing had happened since. */
  const unchecked: Wrapper = (inner, state) => ({
    ...inner,
    orphans: { ...inner.orphans, purge: (request) => without(state.references, inner.orphans.purge(request)) }
  })

  it.effect("saves a blob that was referenced since the scan", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* referencedMeanwhile, [])
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
    }).pipe(Effect.provide(world(noWaits, protectedWorld)))
  )

  it.effect("without which it is lost", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* referencedMeanwhile, ["reference theirs is to blob a, which has no row"])
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world(noWaits, unchecked)))
  )
})

describe("the order: row first, then the object", () => {
  /** Deletes the objects of what is condemned, then its rows; `between` happens in between. */
  const objectFirst =
    (between: (state: World["Service"]["state"]) => Effect.Effect<unknown>): Wrapper =>
    (inner, state, store) => ({
      ...inner,
      orphans: {
        ...inner.orphans,
        purge: (request) =>
          Effect.gen(function* () {
            const keys = [...state.orphans].flatMap(([digest, { condemnedAt }]) => {
              const row = state.blobs.get(digest)
              return condemnedAt === null || row === undefined ? [] : [row.key]
            })
            yield* Effect.orDie(store.delete(keys))
            yield* between(state)
            return yield* inner.orphans.purge(request)
          })
      }
    })

  const referenced = (state: World["Service"]["state"]) =>
    Effect.sync(() => state.references.set("theirs", artifact("theirs", "a")))

  it.effect("without which a blob that is referenced in between loses its bytes", () =>
    Effect.gen(function* () {
      yield* upload("a")
      yield* sweepAnyway
      assert.deepStrictEqual(yield* broken, ["blob a has no object at blobs/a/1"])
    }).pipe(Effect.provide(world(noWaits, objectFirst(referenced))))
  )

  it.effect("without which a crash in between leaves a row that dedup trusts and has no bytes", () =>
    Effect.gen(function* () {
      const died = yield* Deferred.make<void>()
      const dies = () => Effect.andThen(Deferred.succeed(died, undefined), Effect.never)
      yield* Effect.gen(function* () {
        yield* upload("a")
        yield* killedWhen(sweepAnyway, Deferred.await(died))
        assert.strictEqual(yield* push(artifact("v1", "a"), blobKey("a", 2)), "found")
        assert.deepStrictEqual(yield* broken, ["blob a has no object at blobs/a/1"])
      }).pipe(Effect.provide(world(noWaits, objectFirst(dies))))
    })
  )

  it.effect("with which a crash between the two leaves neither", () =>
    Effect.gen(function* () {
      yield* upload("a")
      const { storage } = yield* World
      const died = yield* Deferred.make<void>()
      storage.next("delete", hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never)))
      yield* killedWhen(sweepAnyway, Deferred.await(died))
      assert.strictEqual(yield* push(artifact("v1", "a"), blobKey("a", 2)), "uploaded")
      yield* TestClock.adjust(hour)
      yield* sweepAnyway
      assert.deepStrictEqual(yield* broken, [])
      assert.deepStrictEqual(yield* objects, [blobKey("a", 2)])
    }).pipe(Effect.provide(world(noWaits, protectedWorld)))
  )
})

describe("a fresh key for each upload", () => {
  /** The store answers no delete in time and deletes ten seconds later; meanwhile the content is pushed again. */
  const pushedMeanwhile = Effect.fnUntraced(function* (key: ObjectKey) {
    const { storage } = yield* World
    yield* upload("a")
    storage.next("delete", lands("TimedOut", "10 seconds"))
    yield* sweepAnyway
    yield* push(artifact("again", "a"), key)
    yield* TestClock.adjust("10 seconds")
    return yield* broken
  })

  it.effect("keeps a late delete from new bytes", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* pushedMeanwhile(blobKey("a", 2)), [])
      assert.deepStrictEqual(yield* objects, [blobKey("a", 2)])
    }).pipe(Effect.provide(world(noWaits, protectedWorld)))
  )

  it.effect("without which a late delete takes them", () =>
    Effect.gen(function* () {
      assert.include(yield* pushedMeanwhile(blobKey("a", 1)), "blob a has no object at blobs/a/1")
    }).pipe(Effect.provide(world(noWaits, protectedWorld)))
  )
})

describe("the question who owns a key, before anything that was found by listing is deleted", () => {
  const adoptedChunk = Effect.gen(function* () {
    yield* upload("a", { key: ObjectKey.make("uploads/s/1"), references: [artifact("v1", "a")] })
    yield* stage("uploads/s/2")
    yield* TestClock.adjust(day)
    yield* sweepAnyway
    return yield* broken
  })

  /** Answers that nothing below the upload prefix has an owner. */
  const unasked: Wrapper = (inner) => ({
    ...inner,
    audit: { ...inner.audit, lookup: () => Effect.succeed([]) }
  })

  it.effect("saves a blob that lives below the upload prefix", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* adoptedChunk, [])
      assert.deepStrictEqual(yield* objects, ["uploads/s/1"])
    }).pipe(Effect.provide(world({}, protectedWorld)))
  )

  it.effect("without which it is lost", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* adoptedChunk, ["blob a has no object at uploads/s/1"])
    }).pipe(Effect.provide(world({}, unasked)))
  )
})

describe("the second look at a journaled key, before its object is deleted", () => {
  const reusedKey = Effect.gen(function* () {
    const key = yield* bury("a")
    const { state } = yield* World
    state.blobs.set(digest("a"), { key, sizeBytes: 1, createdAt: start, lastUsedAt: start })
    state.references.set("theirs", artifact("theirs", "a"))
    yield* sweepAnyway
    return yield* broken
  })

  const unseen: Wrapper = (inner, state) => ({
    ...inner,
    journal: {
      ...inner.journal,
      claim: (now, leaseUntil, limit) => without(state.blobs, inner.journal.claim(now, leaseUntil, limit))
    }
  })

  it.effect("saves the blob of a program that used a key twice", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* reusedKey, [])
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
    }).pipe(Effect.provide(world({}, protectedWorld)))
  )

  it.effect("without which it is lost", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* reusedKey, ["blob a has no object at blobs/a/1"])
    }).pipe(Effect.provide(world({}, unseen)))
  )
})

describe("the intent, which must still be there when an upload is published", () => {
  /** The writer sleeps past its lease; its key is reaped; it wakes up and publishes. */
  const late = Effect.fnUntraced(function* (revive: boolean) {
    const { rows } = yield* World
    yield* abandon("a", start + hour)
    yield* TestClock.adjust(hour)
    yield* sweepAnyway
    const publication = {
      key: blobKey("a"),
      digest: digest("a"),
      sizeBytes: 1,
      references: [artifact("v1", "a")]
    }
    const expiresAt = start + day
    if (revive) yield* rows.blobs.intend([{ key: blobKey("a"), digest: digest("a"), expiresAt }])
    const outcomes = yield* rows.blobs.publish(start + hour, [publication])
    return { outcomes, broken: yield* broken }
  })

  it.effect("keeps a writer that was too slow from publishing a dead key", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* late(false), { outcomes: ["expired"], broken: [] })
      yield* TestClock.adjust(minute)
      yield* sweepAnyway
      assert.deepStrictEqual([yield* blobs, yield* objects, yield* broken], [[], [], []])
    }).pipe(Effect.provide(world({}, protectedWorld)))
  )

  it.effect("without which a blob owns a key that is about to be deleted", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* late(true), {
        outcomes: ["published"],
        broken: ["the journal holds blobs/a/1, which blob a owns"]
      })
    }).pipe(Effect.provide(world({}, protectedWorld)))
  )
})

describe("the journal", () => {
  /** A sweep that crashes between purge and delete. */
  const crashed = Effect.gen(function* () {
    const { storage, state, store } = yield* World
    yield* upload("a")
    const died = yield* Deferred.make<void>()
    storage.next("delete", hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never)))
    yield* killedWhen(sweepAnyway, Deferred.await(died))
    return yield* Facts.leaks(state, store)
  })

  const forgetful: Wrapper = (inner, state) => ({
    ...inner,
    orphans: {
      ...inner.orphans,
      purge: (request) =>
        Effect.tap(inner.orphans.purge(request), () => Effect.sync(() => state.journal.clear()))
    }
  })

  it.effect("remembers what a crash left undone", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* crashed, [])
    }).pipe(Effect.provide(world(noWaits, protectedWorld)))
  )

  it.effect("without which the object leaks for ever", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* crashed, [blobKey("a")])
      yield* TestClock.adjust(30 * day)
      yield* sweepAnyway
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
    }).pipe(Effect.provide(world(noWaits, forgetful)))
  )
})

describe("the listing, which comes before the question who owns what it shows", () => {
  const noWaitsAtAll = { ...noWaits, leftoverEvery: Duration.millis(1), leftoverGrace: Duration.zero }

  /** An upload begins right before the store is listed, and is published when the sweeps are over. */
  const uploadedMeanwhile = Effect.gen(function* () {
    const { rows, storage } = yield* World
    const here = yield* World
    const arrives = Effect.gen(function* () {
      yield* rows.blobs.intend([{ key: blobKey("a"), digest: digest("a"), expiresAt: start + day }])
      yield* stage(blobKey("a"))
      storage.heal()
    }).pipe(Effect.provideService(World, here), Effect.orDie)
    storage.always(({ operation, args }) =>
      operation === "list" && args[0] === "blobs/" ? hangsBefore(arrives) : undefined
    )
    yield* sweepAnyway
    yield* TestClock.adjust(minute)
    yield* sweepAnyway
    const references = [artifact("v1", "a")]
    const publication = { key: blobKey("a"), digest: digest("a"), sizeBytes: 1, references }
    assert.deepStrictEqual(yield* rows.blobs.publish(start + minute, [publication]), ["published"])
    return yield* broken
  })

  /** Judges the listing by what the database knew before it. */
  const askedBefore: Wrapper = (inner, state) => {
    let known = new Set<ObjectKey>()
    return {
      ...inner,
      leftovers: {
        ...inner.leftovers,
        claim: (...args) =>
          Effect.tap(inner.leftovers.claim(...args), () =>
            Effect.sync(() => {
              known = new Set([
                ...[...state.blobs.values()].map(({ key }) => key),
                ...state.intents.keys(),
                ...state.journal.keys()
              ])
            })
          ),
        journal: (now, objects, notBefore) =>
          without(
            state.blobs,
            without(
              state.intents,
              inner.leftovers.journal(
                now,
                objects.filter(({ key }) => !known.has(key)),
                notBefore
              )
            )
          )
      },
      audit: {
        ...inner.audit,
        lookup: (keys) =>
          Effect.map(inner.audit.lookup(keys), (found) => found.filter(({ key }) => known.has(key)))
      }
    }
  }

  it.effect("keeps an upload that began meanwhile", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* uploadedMeanwhile, [])
      assert.deepStrictEqual(yield* objects, [blobKey("a")])
    }).pipe(Effect.provide(world(noWaitsAtAll, protectedWorld)))
  )

  it.effect("without which it is lost", () =>
    Effect.gen(function* () {
      assert.include(yield* uploadedMeanwhile, "blob a has no object at blobs/a/1")
    }).pipe(Effect.provide(world(noWaitsAtAll, askedBefore)))
  )
})

describe("the grace period of leftovers", () => {
  /** A program that knows nothing of intents writes bytes, and the row an hour later. */
  const foreignUpload = Effect.gen(function* () {
    const { state } = yield* World
    yield* stage(blobKey("theirs"))
    for (let n = 0; n < 4; n++) {
      yield* sweepAnyway
      yield* TestClock.adjust(hour / 4)
    }
    const now = start + hour
    state.blobs.set(digest("theirs"), {
      key: blobKey("theirs"),
      sizeBytes: 1,
      createdAt: now,
      lastUsedAt: now
    })
    state.references.set("theirs", artifact("theirs", "theirs"))
    yield* sweepAnyway
    return yield* broken
  })
  const settings = { ...noWaits, leftoverEvery: Duration.millis(1) }

  it.effect("keeps what unannounced writers upload before its row", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* foreignUpload, [])
    }).pipe(Effect.provide(world(settings, protectedWorld)))
  )

  it.effect("without which it is lost", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* foreignUpload, ["blob theirs has no object at blobs/theirs/1"])
    }).pipe(Effect.provide(world({ ...settings, leftoverGrace: Duration.zero }, protectedWorld)))
  )
})

describe("the breaker of the leftovers", () => {
  /** Somebody else's store, of 40 blobs, in front of our catalogue, for a week. */
  const wrongDatabase = Effect.gen(function* () {
    for (let n = 0; n < 40; n++) yield* stage(`blobs/theirs/${n}`)
    for (let n = 0; n < 7; n++) {
      yield* TestClock.adjust(day)
      yield* sweepAnyway
    }
    return (yield* objects).length
  })

  it.effect("keeps a store that belongs to another database", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* wrongDatabase, 40)
    }).pipe(Effect.provide(world({}, protectedWorld)))
  )

  it.effect("without which all of it is lost", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* wrongDatabase, 0)
    }).pipe(Effect.provide(world({ breakerPercent: 100 }, protectedWorld)))
  )
})
