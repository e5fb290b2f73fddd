/**
 * What every backend promises to a host that calls verbs inside a transaction of its own. The simulation plays
 * hosts on the memory backend, so that backend must agree with PostgreSQL.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import * as MemoryDatabase from "../../src/database/Memory.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import { Database } from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"
import { artifact, blob, condemned, digest, key, minute, now } from "../fixtures/samples.ts"
import { inMemory, type Rows, Tables } from "../fixtures/Tables.ts"

/** A host with a transaction of its own. */
class Host extends Context.Service<
  Host,
  {
    /** Runs `effect` in a transaction, which commits if it succeeds and otherwise rolls back. */
    readonly transaction: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, unknown, R>
  }
>()("artifact-gc/test/Host") {}

type Services = Database | AllDatabases.Databases | Tables | Host

/** A host of a catalogue in memory. */
export const memoryHost: Layer.Layer<Services> = Layer.unwrap(
  Effect.sync(() => {
    const state = AllDatabases.emptyState()
    const host: Host["Service"] = {
      transaction: (effect) => MemoryDatabase.withTransaction(state, effect)
    }
    return Layer.mergeAll(AllDatabases.inMemory(state), inMemory(state), Layer.succeed(Host, host))
  })
)

/** A host on the client that the verbs use. */
export const postgresHost = (server: Databases.Server): Layer.Layer<Services> =>
  Layer.provideMerge(
    Layer.effect(
      Host,
      Effect.map(SqlClient.SqlClient, (sql): Host["Service"] => ({
        transaction: (effect) => sql.withTransaction(effect)
      }))
    ),
    Databases.postgres(server)
  )

/** Blob 1 has no reference and is condemned. */
const arranged: Partial<Rows> = { blobs: [blob(1)], orphans: [condemned(1)] }

const refer = (joins: boolean) =>
  Effect.flatMap(Database, ({ blobs }) => blobs.adopt(now, [artifact("tag", 1)], { joins }))

const pinOf = (n: number) => ({ id: `pin ${n}`, digest: digest(n), expiresAt: now + minute })

const purge = Effect.flatMap(Database, ({ orphans }) =>
  Effect.map(
    orphans.purge({
      now,
      condemnedCutoff: now,
      seenCutoff: now,
      usedCutoff: now,
      limit: 10,
      after: null,
      deleteNotBefore: now,
      leaseUntil: null
    }),
    ({ absolved, busy, purged }) => ({ purged: purged.length, absolved, busy })
  )
)

const rows = Effect.flatMap(Tables, (tables) => tables.rows)

/** Runs `effect` in a transaction of the host, which then fails. Returns the answer of `effect`. */
const rolledBack = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const { transaction } = yield* Host
  let answer = Option.none<A>()
  const exit = yield* Effect.exit(
    transaction(
      Effect.andThen(
        Effect.tap(effect, (given) => Effect.sync(() => (answer = Option.some(given)))),
        Effect.fail("the host fails")
      )
    )
  )
  assert.isTrue(Exit.isFailure(exit))
  return Option.getOrThrow(answer)
})

const committed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Host, ({ transaction }) => transaction(effect))

/** Registers the promises for `layer`. */
export const hostTransactionsContract = <E>(name: string, layer: Layer.Layer<Services, E>): void => {
  const promised = <A, F>(sentence: string, steps: () => Effect.Effect<A, F, Services>) => {
    it.effect(
      sentence,
      () =>
        Effect.gen(function* () {
          yield* (yield* Database).inspect
          yield* (yield* Tables).write(arranged)
          yield* steps()
        }).pipe(Effect.provide(layer)),
      20_000
    )
  }
  describe(`a host's transaction on ${name}`, () => {
    joining(promised)
    leaving(promised)
    locking(promised)
  })
}

type Promised = <A, F>(sentence: string, steps: () => Effect.Effect<A, F, Services>) => void

const joining = (promised: Promised): void => {
  promised("a joining verb takes effect with the commit", () =>
    Effect.gen(function* () {
      const before = yield* committed(Effect.andThen(refer(true), otherView))
      assert.strictEqual(before, 1, "others still find the blob unreferenced")
      assert.deepStrictEqual((yield* rows).references, [artifact("tag", 1)])
      assert.deepStrictEqual((yield* rows).orphans, [])
    })
  )

  promised("a joining verb disappears with the rollback", () =>
    Effect.gen(function* () {
      const before = yield* rows
      const live = yield* rolledBack(refer(true))
      assert.deepStrictEqual([...live], [digest(1)])
      assert.deepStrictEqual(yield* rows, before)
    })
  )

  promised("joining verbs see what the transaction changed", () =>
    Effect.gen(function* () {
      const { blobs } = yield* Database
      const answers = yield* rolledBack(
        Effect.gen(function* () {
          yield* blobs.adopt(now, [artifact("tag", 1)], { pins: [pinOf(1)], joins: true })
          const unpinned = yield* blobs.unpin(["pin 1"])
          const unreferenced = yield* blobs.unreference([artifact("tag", 1)])
          const again = yield* blobs.unreference([artifact("tag", 1)])
          return [unpinned, unreferenced, again]
        })
      )
      assert.deepStrictEqual(answers, [1, 1, 0])
    })
  )

  promised("a removed reference keeps its blob until the commit", () =>
    Effect.gen(function* () {
      const { blobs } = yield* Database
      yield* refer(false)
      const before = yield* committed(Effect.andThen(blobs.unreference([artifact("tag", 1)]), otherView))
      assert.strictEqual(before, 0)
      assert.strictEqual(yield* otherView, 1)
    })
  )
}

/** The number of orphans that a collector finds. */
const otherView = Effect.flatMap(Database, ({ orphans }) =>
  Effect.map(orphans.find({ after: null, upTo: null, blobs: 1 }), (found) => found.length)
)

const leaving = (promised: Promised): void => {
  promised("other verbs leave it, and the rollback does not take them back", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* rolledBack(purge), { purged: 1, absolved: 0, busy: 0 })
      const after = yield* rows
      assert.deepStrictEqual([after.blobs.length, after.journal.length], [0, 1])
    })
  )

  promised("a blob that is stored inside it is there after the rollback", () =>
    Effect.gen(function* () {
      const { blobs } = yield* Database
      yield* rolledBack(
        Effect.gen(function* () {
          yield* blobs.intend([{ key: key("2-a"), digest: digest(2), expiresAt: now + minute }])
          const publication = { key: key("2-a"), digest: digest(2), sizeBytes: 2 }
          return yield* blobs.publish(now, [{ ...publication, references: [artifact("two", 2)] }])
        })
      )
      assert.deepStrictEqual((yield* rows).references, [artifact("two", 2)])
    })
  )

  promised("a reference without `joins` is committed at once", () =>
    Effect.gen(function* () {
      yield* rolledBack(refer(false))
      assert.deepStrictEqual((yield* rows).references, [artifact("tag", 1)])
    })
  )
}

const locking = (promised: Promised): void => {
  promised("a purge passes over a blob whose reference waits for the commit", () =>
    Effect.gen(function* () {
      const purges = yield* committed(Effect.andThen(refer(true), purge))
      assert.strictEqual(purges.purged, 0)
      assert.strictEqual((yield* purge).purged, 0, "and finds the reference afterwards")
      assert.strictEqual((yield* rows).blobs.length, 1)
    })
  )

  promised("a purge takes the blob after the reference was rolled back", () =>
    Effect.gen(function* () {
      const inside = yield* rolledBack(Effect.andThen(refer(true), purge))
      assert.strictEqual(inside.purged, 0)
      assert.deepStrictEqual(yield* purge, { purged: 1, absolved: 0, busy: 0 })
    })
  )

  promised("a scan leaves a sighting alone that the transaction ends", () =>
    Effect.gen(function* () {
      const { orphans } = yield* Database
      const slice = { after: null, upTo: null, blobs: 1 }
      const marks = { now, seen: [], condemned: [], sweep: "s" }
      const cleared = yield* rolledBack(Effect.andThen(refer(true), orphans.record(slice, marks)))
      assert.strictEqual(cleared, 0)
      assert.lengthOf((yield* rows).orphans, 1)
    })
  )

  promised("a pin that the transaction releases does not expire under it", () =>
    Effect.gen(function* () {
      const { blobs, journal } = yield* Database
      yield* (yield* Tables).write({ pins: [pinOf(1)] })
      const expired = yield* rolledBack(
        Effect.andThen(blobs.unpin(["pin 1"]), journal.expirePins(now + minute, 10))
      )
      assert.strictEqual(expired, 0)
      assert.lengthOf((yield* rows).pins, 1)
    })
  )
}
