/**
 * Several connections to one database: collectors and writers as the product runs them, and sessions driven by hand,
 * one statement at a time, for what must happen in between.
 */
import { assert } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, type Scope } from "effect"
import { SqlClient, type SqlError, Statement } from "effect/sql"
import { Database } from "../../../src/database/Database.ts"
import * as Postgres from "../../../src/database/Postgres.ts"
import type { CatalogNames } from "../../../src/domain/CatalogNames.ts"
import * as Databases from "../../support/Databases.ts"
import { inPostgres, Tables } from "../../support/Tables.ts"

/** A connection driven by hand. Each call is one statement. */
export type Session = (
  statement: string,
  parameters?: ReadonlyArray<unknown>
) => Effect.Effect<ReadonlyArray<Record<string, unknown>>, SqlError.SqlError>

export interface Arena {
  readonly place: Databases.Place
  readonly database: Database["Service"]
  readonly tables: Tables["Service"]
  /** Another process of the collector or of a writer. */
  readonly process: (
    options?: Databases.ConnectionOptions,
    names?: CatalogNames
  ) => Effect.Effect<Database["Service"], never, Scope.Scope>
  /** A connection that waits for locks as long as it takes. */
  readonly session: Effect.Effect<Session, never, Scope.Scope>
  /**
   * How many deadlocks PostgreSQL had to break since the arena was made. The verbs repeat what lost, so nobody else
   * would see one. Ends all other connections, which makes their statistics known.
   */
  readonly deadlocks: Effect.Effect<number>
  /** Completes when this many connections to the database wait for a lock. */
  readonly waiting: (count?: number) => Effect.Effect<void>
}

/** Long enough for any wait in these tests: what shall time out says so itself. */
const patient: Databases.ConnectionOptions = { lockTimeout: Duration.seconds(25) }

const arenaOf = Effect.fnUntraced(function* (place: Databases.Place) {
  const open = Effect.fnUntraced(function* (options: Databases.ConnectionOptions) {
    const context = yield* Layer.build(Databases.client(place, options))
    return context
  })
  const process: Arena["process"] = Effect.fnUntraced(function* (options = {}, names) {
    const client = Layer.succeedContext(yield* open({ ...patient, ...options }))
    const database = Context.get(yield* Layer.build(Layer.provide(Postgres.layer(names), client)), Database)
    yield* Effect.ignore(database.inspect)
    return database
  })
  const session: Arena["session"] = Effect.gen(function* () {
    const sql = Context.get(yield* open({ ...patient, maxConnections: 1 }), SqlClient.SqlClient)
    return (statement, parameters) => sql.unsafe(statement, parameters)
  })
  const observing = yield* open({ maxConnections: 1 })
  const observer: Session = (statement) => Context.get(observing, SqlClient.SqlClient).unsafe(statement)
  const tables = Context.get(
    yield* Layer.build(Layer.provide(inPostgres, Layer.succeedContext(observing))),
    Tables
  )
  const waiting: Arena["waiting"] = (count = 1) =>
    Effect.gen(function* () {
      while (true) {
        const found = yield* observer(
          "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if (found.length >= count) return
        yield* Effect.sleep("5 millis")
      }
    }).pipe(Effect.orDie)
  const count = Effect.map(
    observer("SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()"),
    (rows) => Number(rows[0]?.n)
  )
  const already = yield* Effect.orDie(count)
  const others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
  const deadlocks: Arena["deadlocks"] = Effect.gen(function* () {
    yield* observer(`SELECT pg_terminate_backend(pid) ${others}`)
    while ((yield* observer(`SELECT ${others}`)).length > 0) yield* Effect.sleep("5 millis")
    return (yield* count) - already
  }).pipe(Effect.orDie)
  return { place, deadlocks, database: yield* process(), tables, process, session, waiting } satisfies Arena
})

/** An arena whose schema stays as it is. */
export const arena = (server: Databases.Server): Effect.Effect<Arena, never, Scope.Scope> =>
  Effect.flatMap(Databases.leasedDatabase(server), ({ place }) => arenaOf(place))

/** An arena on a database of its own, whose schema may be changed. */
export const ownArena = (
  server: Databases.Server,
  names?: CatalogNames
): Effect.Effect<Arena, never, Scope.Scope> =>
  Effect.flatMap(Databases.migratedDatabase(server, names), arenaOf)

/**
 * Runs `hook` before the statement of `effect` that matches first, or before each that does. The hook has connections
 * of its own; what it leaves running goes on beside `effect`.
 */
export const before =
  (pattern: RegExp, hook: Effect.Effect<unknown, unknown>, how: "once" | "always" = "once") =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      let runs = 0
      const transformer: Statement.Transformer = (statement) => {
        if (!pattern.test(statement.compile()[0]) || (how === "once" && runs > 0))
          return Effect.succeed(statement)
        runs += 1
        return Effect.as(
          Effect.promise(() => Effect.runPromise(hook)),
          statement
        )
      }
      return effect.pipe(
        Effect.provideService(Statement.CurrentTransformer, transformer),
        Effect.tap(() => Effect.sync(() => assert.isAbove(runs, 0, `no statement matched ${pattern}`)))
      )
    })

/** What was started in a hook and is awaited after it. */
export const later = <A, E>(effect: Effect.Effect<A, E>) => {
  let fiber: Fiber.Fiber<A, E> | undefined
  return {
    start: Effect.sync(() => {
      fiber = Effect.runFork(effect)
    }),
    outcome: Effect.suspend(() => (fiber === undefined ? Effect.die("not started") : Fiber.join(fiber)))
  }
}

/** The statements of a purge, in their order. */
export const purgeStatement = {
  choosesPage: /ORDER BY condemned_at, digest LIMIT/,
  locksBlobs: /"blobs"\s+WHERE "digest" = ANY.* FOR UPDATE SKIP LOCKED$/,
  deletes: /WITH dead AS/,
  clearsOrphans: /^\s*DELETE FROM "artifact_gc"\."orphans"/
}
