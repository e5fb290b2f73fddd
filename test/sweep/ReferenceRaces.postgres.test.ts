/**
 * The race that a reference source cannot win, and the pin that wins it: a reference that is written elsewhere between the
 * source's answer and the purge. In memory and on PostgreSQL.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Result, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import type { BlobDatabase, CollectorDatabase } from "../../src/database/Database.ts"
import * as MemoryDatabase from "../../src/database/Memory.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { onProcessClock } from "../../src/database/postgres/Sql.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import type { Digest } from "../../src/domain/Digest.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import * as ReferenceSource from "../../src/sweep/ReferenceSource.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as Databases from "../fixtures/Databases.ts"

type Core = BlobDatabase | CollectorDatabase

const onPostgres = (watched: boolean): Layer.Layer<Core> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const client = Databases.client(yield* Databases.emptyDatabase(Databases.embedded))
      const migrated = Postgres.migrate(defaultNames, { createCatalog: "artifacts" }).pipe(
        Effect.andThen(watched ? Postgres.watchReferences(defaultNames) : Effect.void),
        Effect.orDie
      )
      return Postgres.layer().pipe(Layer.provideMerge(Layer.effectDiscard(migrated)), Layer.provide(client))
    })
  )

const watchedMemory = (): Layer.Layer<Core> => {
  const state = MemoryDatabase.emptyState()
  state.watched = true
  return MemoryDatabase.layerOf(state)
}

const backends: ReadonlyArray<readonly [string, () => Layer.Layer<Core>]> = [
  ["memory", () => MemoryDatabase.layer()],
  ["memory, references watched", watchedMemory],
  ["PostgreSQL", () => onPostgres(false)],
  ["PostgreSQL, references watched", () => onPostgres(true)]
]

const bytes = Stream.make(new Uint8Array([1, 2, 3]))
const noWaits = { grace: Duration.zero, quarantine: Duration.zero, presence: Duration.weeks(500) }

/** A set in Redis, and what happens between its answer and what the sweep does with the answer. */
const elsewhere = () => {
  const members = new Set<string>()
  const self = {
    members,
    /** Runs once, after the answer that precedes the purge. */
    afterAnswer: Effect.void as Effect.Effect<unknown>,
    asked: 0
  }
  const source = ReferenceSource.make("redis", (digests) =>
    Effect.gen(function* () {
      const answer = digests.filter((digest) => members.has(digest))
      self.asked += 1
      // The first question precedes the condemnation, the second the purge.
      if (self.asked === 2) yield* self.afterAnswer
      return answer
    })
  )
  return Object.assign(self, { source })
}

type Writer = (
  digest: Digest,
  redis: ReturnType<typeof elsewhere>
) => Effect.Effect<unknown, unknown, BlobStore>

/** An old blob without a reference is swept, and `writer` refers to it between the answer and the purge. */
const race = (database: Layer.Layer<Core>, writer: Writer, late: Writer = () => Effect.void) =>
  Effect.gen(function* () {
    const redis = elsewhere()
    const services = Layer.merge(database, MemoryStorage.layer)
    const layer = Layer.merge(
      Sweep.layerUnchecked({ ...noWaits, breakerPercent: 100, sources: [redis.source] }),
      BlobStore.layer()
    ).pipe(Layer.provideMerge(services))
    const context = yield* Layer.build(layer)
    return yield* Effect.gen(function* () {
      const blobs = yield* BlobStore
      const sweep = yield* Sweep
      // Other blobs are referenced there, so nothing asks whether references are known at all.
      const other = yield* blobs.put(Stream.make(new Uint8Array([9])), { pin: Duration.seconds(1) })
      redis.members.add(other.digest)
      yield* TestClock.adjust("1 hour")
      yield* sweep.once()
      const { digest } = yield* blobs.put(bytes, { pin: Duration.seconds(1) })
      yield* TestClock.adjust("1 hour")
      redis.asked = 0
      redis.afterAnswer = Effect.orDie(Effect.provideContext(writer(digest, redis), context))
      const report = yield* sweep.once()
      const read = yield* Effect.result(Stream.runCount(blobs.open(digest)))
      const answered = yield* late(digest, redis)
      // What was kept stays kept, for as long as the reference does.
      yield* TestClock.adjust("1 day")
      yield* sweep.once()
      const later = yield* Effect.result(Stream.runCount(blobs.open(digest)))
      return {
        report,
        answered,
        asked: redis.asked,
        isReadable: Result.isSuccess(read),
        staysReadable: Result.isSuccess(later),
        isMember: redis.members.has(digest)
      }
    }).pipe(Effect.provideContext(context))
  }).pipe(Effect.scoped)

/** Looks whether the blob exists, and refers to it. */
const careless: Writer = (digest, redis) =>
  Effect.gen(function* () {
    const found = yield* (yield* BlobStore).stat(digest)
    if (Option.isSome(found)) redis.members.add(digest)
  })

/** The recipe. */
const pinned: Writer = (digest, redis) =>
  Effect.gen(function* () {
    const blobs = yield* BlobStore
    const pin = yield* blobs.pin(digest, "1 hour")
    if (Option.isNone(pin)) return yield* Effect.die("the blob should exist")
    redis.members.add(digest)
    yield* blobs.unpin([pin.value])
  })

/** The recipe for bytes that the writer has. */
const putting: Writer = (digest, redis) =>
  Effect.gen(function* () {
    const blobs = yield* BlobStore
    const { pin } = yield* blobs.put(bytes, { pin: Duration.hours(1) })
    redis.members.add(digest)
    if (pin !== null) yield* blobs.unpin([pin])
  })

/** Dies before it unpins. */
const crashing: Writer = (digest, redis) =>
  Effect.gen(function* () {
    yield* (yield* BlobStore).pin(digest, "1 hour")
    redis.members.add(digest)
  })

describe("a reference that is written elsewhere after the source's answer", () => {
  for (const [name, database] of backends) {
    describe(`on ${name}`, () => {
      it.effect("without a pin is lost with its blob (control)", () =>
        Effect.gen(function* () {
          const found = yield* race(database(), careless)
          assert.isTrue(found.isMember)
          assert.strictEqual(found.report.phases.orphans.deleted, 1)
          assert.isFalse(found.isReadable)
        })
      )

      const recipes: ReadonlyArray<readonly [string, Writer]> = [
        ["after a pin that is released at once", pinned],
        ["after a put with a pin", putting],
        ["after a pin whose writer dies", crashing]
      ]
      for (const [what, writer] of recipes) {
        it.effect(`${what} keeps its blob`, () =>
          Effect.gen(function* () {
            const found = yield* race(database(), writer)
            assert.isTrue(found.isMember)
            assert.strictEqual(found.report.phases.orphans.deleted, 0)
            assert.isTrue(found.isReadable)
            assert.isTrue(found.staysReadable)
            assert.isAtLeast(found.asked, 2)
          })
        )
      }

      it.effect("after the purge finds no blob to pin, and puts it again", () =>
        Effect.gen(function* () {
          const late: Writer = (digest, redis) =>
            Effect.gen(function* () {
              const pin = yield* (yield* BlobStore).pin(digest, "1 hour")
              yield* putting(digest, redis)
              return pin
            })
          const found = yield* race(database(), () => Effect.void, late)
          assert.strictEqual(found.report.phases.orphans.deleted, 1)
          assert.isFalse(found.isReadable)
          assert.deepStrictEqual(found.answered, Option.none())
          assert.isTrue(found.staysReadable)
        })
      )
    })
  }
})

describe("while a source answers", () => {
  const host = Effect.map(
    Effect.flatMap(Databases.emptyDatabase(Databases.embedded), (place) =>
      Layer.build(Databases.client(place))
    ),
    Context.get(SqlClient.SqlClient)
  )

  it.effect("no row is locked, no transaction is open, and the caller's is out of its sight", () =>
    Effect.gen(function* () {
      const sql = yield* host
      const client = Layer.succeed(SqlClient.SqlClient, sql)
      yield* Effect.orDie(Postgres.migrate(defaultNames, { createCatalog: "artifacts" })).pipe(
        Effect.provide(client)
      )
      const seen: Array<unknown> = []
      const source = ReferenceSource.make("redis", (digests) =>
        Effect.gen(function* () {
          const own = yield* SqlClient.SqlClient
          const look = Effect.gen(function* () {
            const locks = yield* own`
              SELECT l.mode, l.relation::regclass::text AS relation FROM pg_locks l
              JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname IN ('artifact_gc', 'public') AND l.pid <> pg_backend_pid()`
            // NOWAIT fails on a row that is locked.
            yield* own`SELECT FROM blobs FOR UPDATE NOWAIT`
            yield* own`SELECT FROM artifact_gc.orphans FOR UPDATE NOWAIT`
            const rows = yield* own`SELECT digest FROM marks`
            return { locks, marks: rows.length }
          })
          seen.push(yield* onProcessClock(look))
          return digests
        })
      )
      const services = Layer.merge(Layer.provideMerge(Postgres.layer(), client), MemoryStorage.layer)
      const layer = Layer.merge(Sweep.layerUnchecked({ ...noWaits, sources: [source] }), BlobStore.layer())
      const context = yield* Layer.build(Layer.provideMerge(layer, services))
      yield* Effect.gen(function* () {
        yield* onProcessClock(sql`CREATE TABLE marks (digest int)`)
        yield* (yield* BlobStore).put(bytes, { pin: Duration.seconds(1) })
        yield* TestClock.adjust("1 hour")
        const sweep = yield* Sweep
        const inTransaction = Effect.gen(function* () {
          yield* sql`INSERT INTO marks VALUES (1)`
          return yield* sweep.once()
        })
        const report = yield* sql.withTransaction(inTransaction)
        assert.deepInclude(report.phases.orphans, { kept: { source: 1 }, failed: {} })
        // One lock is the caller's own, on its table.
        assert.deepStrictEqual(seen, [{ locks: [{ mode: "RowExclusiveLock", relation: "marks" }], marks: 0 }])
      }).pipe(Effect.provideContext(context))
    }).pipe(Effect.scoped)
  )
})
