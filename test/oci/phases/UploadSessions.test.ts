/** Upload sessions that no client continues, and those that a client continues, however slowly. */

import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Deferred, Duration, Effect, Fiber, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Uploads, UploadUnknown } from "../../../src/oci/Uploads.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { fails, hangsAfter, hangsBefore } from "../../../src/testing/Faults.ts"
import * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import {
  appendChunk,
  blobs,
  chunkKey,
  clean,
  counts,
  day,
  digest,
  hour,
  journaled,
  journalRow,
  killedWhen,
  minute,
  objects,
  session,
  sessions,
  snapshot,
  stage,
  start,
  sweep,
  sweepAfter,
  World,
  type Wrapper,
  world
} from "../../fixtures/World.ts"

const ref = (id: string) => ({ repository: "library", id })

/** Makes a blob of a session's only chunk, as the service does. */
const finish = Effect.fnUntraced(function* (id: string, sizeBytes = 1) {
  const { rows } = yield* World
  const now = yield* Clock.currentTimeMillis
  yield* rows.sessions.claim(now, ref(id), { token: id, until: now + minute })
  const pins = [{ id: `pin of ${id}`, digest: digest(id), expiresAt: now + 30 * day }]
  const publication = { key: chunkKey(id, 0), digest: digest(id), sizeBytes, references: [], pins }
  return yield* rows.sessions.complete(now, ref(id), id, publication)
})

describe("an upload session that no client continues", () => {
  it.effect("is ended when nothing was heard of it for 24 hours, to the millisecond, with its chunks", () =>
    Effect.gen(function* () {
      yield* session("s", [3, 4, 5])
      yield* session("empty")
      const kept = yield* sweepAfter(day - 1)
      // Of those below the upload prefix, the listing knows as much.
      assert.deepInclude(counts(kept, "uploads"), { seen: 2, eligible: 0, kept: { grace: 2 } })
      assert.deepStrictEqual(yield* sessions, ["empty", "s"])
      assert.deepStrictEqual(counts(yield* sweepAfter(1), "uploads"), {
        seen: 3,
        eligible: 3,
        deleted: 3,
        bytes: 12,
        kept: {},
        failed: {},
        stoppedBy: null
      })
      assert.deepStrictEqual([yield* sessions, yield* objects, yield* journaled], [[], [], []])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect("says when it is due, in what is left", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust(hour)
      yield* session("s", [1])
      const { left } = yield* sweepAfter(minute)
      assert.deepInclude(left, { sessions: 1, nextDueAt: new Date(start + hour + day).toISOString() })
      assert.deepInclude((yield* sweepAfter(day)).left, { sessions: 0, nextDueAt: null })
    }).pipe(Effect.provide(world()))
  )

  it.effect("is ended after a finisher that died with it, when the lease is over", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      yield* session("s", [1])
      yield* rows.sessions.claim(start, ref("s"), { token: "a", until: start + day + hour })
      yield* sweepAfter(day)
      assert.deepStrictEqual(yield* sessions, ["s"])
      yield* sweepAfter(hour)
      assert.deepStrictEqual([yield* sessions, yield* objects], [[], []])
    }).pipe(Effect.provide(world()))
  )

  it.effect("goes page by page, beside others that go on", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 9; n++) yield* session(`idle${n}`, [1, 1])
      yield* TestClock.adjust(hour)
      yield* session("busy", [1, 1])
      const { database } = yield* World
      assert.deepInclude(counts(yield* sweepAfter(day - hour), "uploads"), { eligible: 18, deleted: 18 })
      assert.isAbove(database.count("sessions.expire"), 3)
      assert.deepStrictEqual(yield* sessions, ["busy"])
      assert.deepStrictEqual(yield* objects, [chunkKey("busy", 0), chunkKey("busy", 1)])
      yield* clean
    }).pipe(Effect.provide(world({ batchMax: 4, deleteConcurrency: 2 })))
  )

  it.effect("is counted by a dry run as the sweep after it deletes, and left alone", () =>
    Effect.gen(function* () {
      yield* session("s", [3, 4])
      yield* session("t", [5])
      yield* TestClock.adjust(hour)
      yield* session("busy", [6])
      yield* TestClock.adjust(day - hour)
      const before = yield* snapshot
      const plan = yield* sweep({ dryRun: true })
      assert.deepStrictEqual(yield* snapshot, before)
      assert.deepInclude(plan.phases.uploads, { eligible: 3, bytes: 12, deleted: 0 })
      const done = yield* sweep()
      assert.deepInclude(done.phases.uploads, { eligible: 3, bytes: 12, deleted: 3 })
      assert.strictEqual(plan.totals.eligible, done.totals.deleted)
      assert.deepStrictEqual(yield* objects, [chunkKey("busy", 0)])
    }).pipe(Effect.provide(world()))
  )
})

describe("an upload session that is done", () => {
  it.effect("is forgotten after as long, and its blob stays", () =>
    Effect.gen(function* () {
      yield* session("s", [1])
      assert.strictEqual(yield* finish("s"), "published")
      const { state } = yield* World
      yield* sweepAfter(day - 1)
      assert.strictEqual(state.sessions.size, 1)
      assert.deepInclude(counts(yield* sweepAfter(1), "uploads"), { seen: 0, eligible: 0, deleted: 0 })
      assert.strictEqual(state.sessions.size, 0)
      assert.deepStrictEqual([yield* blobs, yield* objects], [["s"], [chunkKey("s", 0)]])
    }).pipe(Effect.provide(world()))
  )
})

/** A chunk every twenty hours for a week, while sweeps run; then the sessions' chunks that are there. */
const slowPush = Effect.gen(function* () {
  const { state } = yield* World
  yield* session("slow")
  for (let n = 0; n < 9; n++) {
    yield* appendChunk("slow", n)
    for (let hours = 0; hours < 20; hours += 5) yield* sweepAfter(5 * hour)
  }
  return [...state.chunks.keys()].length
})

describe("a slow push", () => {
  it.effect("is kept, though its first chunk is a week old", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* slowPush, 9)
      assert.strictEqual((yield* objects).length, 9)
    }).pipe(Effect.provide(world()))
  )

  /** Takes a session to be as old as its oldest object. */
  const byObjects: Wrapper = (inner, state, store) => ({
    ...inner,
    sessions: {
      ...inner.sessions,
      expire: (request) =>
        Effect.gen(function* () {
          for (const { key, session: id, startByte } of state.chunks.values()) {
            const row = state.sessions.get(id)
            const object = Option.getOrNull(yield* Effect.orDie(store.head(key)))
            if (startByte > 0 || row === undefined || object === null) continue
            state.sessions.set(id, { ...row, lastActivityAt: object.modifiedAt })
          }
          return yield* inner.sessions.expire(request)
        })
    }
  })

  it.effect("is lost where the age of an object is what counts (control)", () =>
    Effect.gen(function* () {
      assert.isBelow(yield* slowPush, 9)
      assert.notInclude(yield* objects, chunkKey("slow", 0))
    }).pipe(Effect.provide(world({}, byObjects)))
  )

  /** Does not know that upload sessions own anything. */
  const unowned: Wrapper = (inner, state) => {
    const notOurs = <A extends { readonly owner: string }>(known: ReadonlyArray<A>) =>
      known.filter(({ owner }) => owner !== "chunk")
    return {
      ...inner,
      audit: { ...inner.audit, lookup: (keys) => Effect.map(inner.audit.lookup(keys), notOurs) },
      leftovers: {
        ...inner.leftovers,
        journal: (...args) =>
          Effect.suspend(() => {
            const chunks = [...state.chunks]
            state.chunks.clear()
            return Effect.tap(inner.leftovers.journal(...args), () =>
              Effect.sync(() => {
                for (const [key, chunk] of chunks) state.chunks.set(key, chunk)
              })
            )
          })
      }
    }
  }

  it.effect("is kept by its rows alone, whatever its objects look like in a listing", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* session("s", [1, 1])
      for (let n = 0; n < 5; n++) {
        yield* TestClock.adjust(20 * hour)
        assert.isTrue(yield* (yield* World).rows.sessions.touch(yield* Clock.currentTimeMillis, ref("s")))
        const report = yield* sweep()
        if (n > 0) assert.deepInclude(counts(report, "uploads").kept, { "owned by the catalogue": 1 })
      }
      assert.deepStrictEqual([...state.chunks.keys()], yield* objects)
    }).pipe(Effect.provide(world()))
  )

  it.effect("loses its chunks to the listings where those rows are not asked (control)", () =>
    Effect.gen(function* () {
      const { rows } = yield* World
      yield* session("s", [1, 1])
      yield* TestClock.adjust(20 * hour)
      yield* rows.sessions.touch(yield* Clock.currentTimeMillis, ref("s"))
      yield* TestClock.adjust(5 * hour)
      yield* (yield* Sweep).once()
      assert.notInclude(yield* objects, chunkKey("s", 1))
      assert.include(yield* journaled, chunkKey("s", 0))
    }).pipe(Effect.provide(world({ uploadGrace: Duration.hours(24) }, unowned)))
  )
})

/** A replica of the upload service on this world, with a store of which the test decides. */
const replica = Effect.gen(function* () {
  const { rows, store } = yield* World
  const script = FaultyStorage.script()
  const services = Layer.merge(
    AllDatabases.all(rows),
    Layer.succeed(Storage, FaultyStorage.wrap(store, script))
  )
  const uploads = Context.get(yield* Layer.build(Layer.provide(Uploads.layer(), services)), Uploads)
  return { script, uploads }
})

const bytes = (text: string) => Stream.make(Buffer.from(text))

describe("a push that loses to the collector", () => {
  it.effect("is told that its session is unknown, by every request, and leaves nothing", () =>
    Effect.gen(function* () {
      const { uploads } = yield* replica
      const { id } = yield* uploads.start("r")
      yield* uploads.append("r", id, bytes("one"), { startByte: 0 })
      yield* sweepAfter(day)
      const requests = [
        uploads.append("r", id, bytes("two"), { startByte: 3 }),
        uploads.finish("r", id, { digest: digest(`sha256:${"0".repeat(64)}`) }),
        uploads.status("r", id),
        uploads.cancel("r", id)
      ]
      for (const request of requests) assert.instanceOf(yield* Effect.flip(request), UploadUnknown)
      assert.deepStrictEqual([yield* objects, yield* journaled], [[], []])
      yield* clean
    }).pipe(Effect.provide(world()), Effect.scoped)
  )

  it.effect("between its last byte and its row is told so, too, and its bytes go with the next sweep", () =>
    Effect.gen(function* () {
      const { script, uploads } = yield* replica
      const { id } = yield* uploads.start("r")
      const [stored, goOn] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      script.next(
        "put",
        hangsAfter(Effect.andThen(Deferred.succeed(stored, undefined), Deferred.await(goOn)))
      )
      // This process is paused, so that it renews nothing, and the world goes on.
      const push = uploads.append("r", id, bytes("one"), { startByte: 0 })
      const late = yield* Effect.forkChild(
        Effect.provideService(Effect.flip(push), Clock.Clock, yield* stopped)
      )
      yield* Deferred.await(stored)
      yield* sweepAfter(day)
      assert.deepStrictEqual(yield* sessions, [])
      yield* Deferred.succeed(goOn, undefined)
      assert.instanceOf(yield* Fiber.join(late), UploadUnknown)
      yield* sweepAfter(hour)
      yield* sweepAfter(hour)
      assert.deepStrictEqual([yield* objects, yield* journaled], [[], []])
      yield* clean
    }).pipe(Effect.provide(world()), Effect.scoped)
  )
})

/** A clock that stands still. */
const stopped = Effect.map(Clock.Clock, (clock): Clock.Clock => {
  const [millis, nanos] = [clock.currentTimeMillisUnsafe(), clock.currentTimeNanosUnsafe()]
  return {
    ...clock,
    currentTimeMillisUnsafe: () => millis,
    currentTimeMillis: Effect.succeed(millis),
    currentTimeNanosUnsafe: () => nanos,
    currentTimeNanos: Effect.succeed(nanos),
    sleep: () => Effect.never
  }
})

describe("the chunks of a session that was ended", () => {
  it.effect("wait for the delete delay in the journal, whatever a listing says of them", () =>
    Effect.gen(function* () {
      yield* session("s", [1, 1])
      const keys = [chunkKey("s", 0), chunkKey("s", 1)]
      const report = yield* sweepAfter(day)
      assert.deepInclude(counts(report, "uploads"), {
        eligible: 2,
        deleted: 0,
        kept: { "delete delay": 2, journaled: 1 }
      })
      assert.deepInclude(counts(yield* sweepAfter(hour - 1), "uploads"), { kept: { journaled: 1 } })
      assert.deepStrictEqual([yield* journaled, yield* objects], [keys, keys])
      assert.deepInclude(counts(yield* sweepAfter(1), "journal"), { deleted: 2 })
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world({ deleteDelay: Duration.hours(1) })))
  )

  it.effect("that the store will not delete stay in the journal, and are tried again", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* session("s", [1, 1, 1])
      storage.refused.set(chunkKey("s", 1), "AccessDenied")
      const report = yield* sweepAfter(day)
      assert.deepInclude(counts(report, "uploads"), {
        eligible: 3,
        deleted: 2,
        failed: { AccessDenied: 1 },
        kept: { journaled: 1 }
      })
      assert.deepInclude(yield* journalRow(chunkKey("s", 1)), { attempts: 1, claimedUntil: null })
      storage.refused.clear()
      assert.deepInclude(counts(yield* sweepAfter(hour), "journal"), { deleted: 1 })
      assert.deepStrictEqual(yield* objects, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("are left in the journal by a store that does not answer, and the phase ends", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      for (let n = 0; n < 9; n++) yield* session(`s${n}`, [1])
      storage.next("delete", fails("Unavailable"), Number.POSITIVE_INFINITY)
      const report = yield* sweepAfter(day)
      assert.deepInclude(counts(report, "uploads"), { deleted: 0, stoppedBy: "failure" })
      assert.isAtMost(storage.count("delete"), 4)
      storage.heal()
      for (let n = 0; n < 2; n++) yield* sweepAfter(hour)
      assert.deepStrictEqual([yield* objects, yield* journaled, yield* sessions], [[], [], []])
    }).pipe(Effect.provide(world({ batchMax: 2, deleteConcurrency: 1 })))
  )

  it.effect("are deleted within the count, and the rest by later sweeps, also of one large session", () =>
    Effect.gen(function* () {
      yield* session("large", [1, 1, 1, 1, 1, 1, 1])
      const report = yield* sweepAfter(day)
      assert.deepInclude(counts(report, "uploads"), {
        seen: 7,
        eligible: 3,
        deleted: 3,
        kept: { journaled: 4 },
        stoppedBy: "count"
      })
      assert.deepInclude(report, { outcome: "bounded" })
      assert.strictEqual((yield* journaled).length, 4)
      // They are leased for as long as this collector might be at it.
      assert.deepInclude(counts(yield* sweep(), "journal"), { deleted: 0 })
      assert.deepInclude(counts(yield* sweepAfter(5 * minute), "journal"), { deleted: 3 })
      assert.deepInclude(counts(yield* sweep(), "journal"), { deleted: 1 })
      assert.deepStrictEqual([yield* objects, yield* journaled], [[], []])
    }).pipe(Effect.provide(world({ maxDeletes: 3 })))
  )

  it.effect("of more than a request takes go in several", () =>
    Effect.gen(function* () {
      yield* session("large", [1, 1, 1, 1, 1, 1, 1])
      const { storage } = yield* World
      assert.deepInclude(counts(yield* sweepAfter(day), "uploads"), { deleted: 7, stoppedBy: null })
      const sizes = storage.calls.flatMap(({ args, operation }) =>
        operation === "delete" ? [(args[0] as ReadonlyArray<string>).length] : []
      )
      assert.deepStrictEqual(sizes, [3, 3, 1])
    }).pipe(Effect.provide(world({ batchMax: 3, deleteConcurrency: 1 })))
  )

  it.effect("go when the collector that ended it dies before it deletes", () =>
    Effect.gen(function* () {
      const { storage } = yield* World
      yield* session("s", [1, 1])
      yield* TestClock.adjust(day)
      const died = yield* Deferred.make<void>()
      storage.next("delete", hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never)))
      yield* killedWhen((yield* Sweep).once(), Deferred.await(died))
      assert.deepStrictEqual([yield* sessions, (yield* journaled).length], [[], 2])
      yield* sweepAfter(hour)
      assert.deepStrictEqual([yield* objects, yield* journaled], [[], []])
    }).pipe(Effect.provide(world()))
  )
})

describe("what no session knows", () => {
  it.effect("is judged by the listing, as of other registries", () =>
    Effect.gen(function* () {
      yield* stage("uploads/theirs/data", 7)
      yield* session("ours", [1, 1])
      yield* TestClock.adjust(day)
      yield* stage("uploads/theirs too/data", 7)
      assert.deepInclude(counts(yield* sweep(), "uploads"), { deleted: 3, bytes: 9, kept: { grace: 1 } })
      assert.deepStrictEqual(yield* objects, ["uploads/theirs too/data"])
    }).pipe(Effect.provide(world()))
  )
})
