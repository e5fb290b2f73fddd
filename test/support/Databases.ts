/**
 * How tests get a database: a fresh one each, in memory, in the run's embedded PostgreSQL 18, or in the PostgreSQL
 * that REAL_DATABASE_URL names (files `*.real.test.ts` only).
 *
 * Building a layer creates the database; closing its scope drops it. All SQL runs on the process's clock, so a
 * `TestClock` governs decisions and never the connection pool.
 */
import { randomUUID } from "node:crypto"
import type { PgClient } from "@effect/sql-pg"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { afterAll, inject } from "vitest"
import type { Database } from "../../src/database/Database.ts"
import * as Memory from "../../src/database/Memory.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { onProcessClock } from "../../src/database/postgres/Sql.ts"
import { type CatalogNames, defaultNames } from "../../src/domain/CatalogNames.ts"
import { ask, stop } from "./EmbeddedServer.ts"
import { inMemory, inPostgres, Tables } from "./Tables.ts"

/** A PostgreSQL server on which databases may be created. */
export interface Server {
  readonly name: string
  /** Settings of the databases made on it. */
  readonly settings?: Readonly<Record<string, string>>
  /** How to connect to one of its databases. */
  readonly place: (database: string) => Effect.Effect<Place>
}

/** One database. */
export type Place =
  | { readonly url: Redacted.Redacted }
  | {
      readonly socketDirectory: string
      readonly port: number
      readonly user: string
      readonly database: string
    }

/** What follows LOGIN when a role is made that `as` shall be: the password of this place, where its server asks for one. */
export const samePassword = (place: Place): string => {
  const password = "url" in place ? decodeURIComponent(new URL(Redacted.value(place.url)).password) : ""
  return password === "" ? "" : ` PASSWORD '${password}'`
}

/** The same database as somebody else, with the same password. */
export const as = (place: Place, user: string): Place => {
  if (!("url" in place)) return { ...place, user }
  const url = new URL(Redacted.value(place.url))
  url.username = user
  return { url: Redacted.make(url.href) }
}

/** PostgreSQL 18 of the vitest run. */
export const embedded: Server = {
  name: "embedded PostgreSQL",
  place: (database) =>
    Effect.gen(function* () {
      const answer = yield* Effect.promise(() => ask(inject("embeddedServer")))
      if ("error" in answer) return yield* Effect.die(new Error(answer.error))
      return { ...answer, database }
    })
}

/** Whether REAL_DATABASE_URL names a server; suites skip where it does not. */
export const hasReal: boolean = (process.env.REAL_DATABASE_URL ?? "") !== ""

/** A PostgreSQL that somebody else runs. */
export const real: Server = {
  name: "real PostgreSQL",
  place: (database) =>
    Effect.sync(() => {
      const url = new URL(process.env.REAL_DATABASE_URL ?? "")
      url.pathname = `/${database}`
      return { url: Redacted.make(url.href) }
    })
}

/**
 * The same server where the planner has no choice but nested loops: what a statement does must not hang on its plan.
 * (A sub-query with LIMIT that is run once for each row takes more than its limit.)
 */
export const loopsOnly = (server: Server): Server => ({
  ...server,
  name: `${server.name} with nested loops`,
  settings: {
    enable_hashjoin: "off",
    enable_mergejoin: "off",
    enable_hashagg: "off",
    enable_material: "off",
    enable_memoize: "off",
    enable_sort: "off"
  }
})

export type Client = PgClient.PgClient | SqlClient.SqlClient

export type ConnectionOptions = Omit<Postgres.PostgresOptions, "url">

/** A pool of connections to a database, as the collector's own. */
export const client = (place: Place, options: ConnectionOptions = {}): Layer.Layer<Client> =>
  Postgres.layerClient({ ...place, ...options })

/** What the tests of a file share, until its last one has ended. */
const fileScope = Scope.makeUnsafe()
afterAll(async () => {
  await Effect.runPromise(Scope.close(fileScope, Exit.void))
  await stop()
})

/** Made for the first test that asks, kept for the file. */
const oncePerFile = <A>(make: (server: Server) => Effect.Effect<A, never, Scope.Scope>) => {
  const made = new Map<Server, Promise<A>>()
  return (server: Server): Effect.Effect<A> =>
    Effect.promise(() => {
      const found = made.get(server) ?? Effect.runPromise(Scope.provide(make(server), fileScope))
      made.set(server, found)
      return found
    })
}

/** A connection for making and dropping databases. */
const admin = oncePerFile((server) =>
  Effect.flatMap(server.place("postgres"), (place) => Layer.build(client(place, { maxConnections: 1 })))
)

const createDatabase = Effect.fnUntraced(function* (server: Server, template: string) {
  const context = yield* admin(server)
  const run = (statement: string) =>
    Context.get(context, SqlClient.SqlClient).unsafe(statement).pipe(Effect.orDie, onProcessClock)
  const name = `t_${randomUUID().replaceAll("-", "")}`
  yield* Effect.acquireRelease(run(`CREATE DATABASE ${name} TEMPLATE ${template}`), () =>
    run(`DROP DATABASE ${name} WITH (FORCE)`)
  )
  for (const [setting, value] of Object.entries(server.settings ?? {})) {
    yield* run(`ALTER DATABASE ${name} SET ${setting} = '${value}'`)
  }
  return { name, place: yield* server.place(name) }
})

/** An empty database, dropped with the scope. */
export const emptyDatabase = (server: Server): Effect.Effect<Place, never, Scope.Scope> =>
  Effect.map(createDatabase(server, "template1"), ({ place }) => place)

const migrate = (place: Place, names: CatalogNames) =>
  Postgres.migrate(names, { createCatalog: true, registry: true }).pipe(
    Effect.provide(client(place, { maxConnections: 1 })),
    Effect.orDie
  )

/** To copy a migrated database costs half of what it costs to migrate one. */
const migratedTemplate = oncePerFile((server) =>
  Effect.gen(function* () {
    const { name, place } = yield* createDatabase(server, "template1")
    yield* migrate(place, defaultNames)
    return name
  })
)

/** A database with an empty catalogue and the collector's tables. */
export const migratedDatabase = (
  server: Server,
  names: CatalogNames = defaultNames
): Effect.Effect<Place, never, Scope.Scope> =>
  names === defaultNames
    ? Effect.flatMap(migratedTemplate(server), (template) =>
        Effect.map(createDatabase(server, template), ({ place }) => place)
      )
    : Effect.tap(emptyDatabase(server), (place) => migrate(place, names))

/** The database service in memory, new at each build. */
export const memory: Layer.Layer<Database | Tables> = Layer.unwrap(
  Effect.sync(() => {
    const state = Memory.emptyState()
    return Layer.merge(Memory.layer(state), inMemory(state))
  })
)

/** A migrated database with a pool of connections. */
interface Leased {
  readonly place: Place
  readonly client: Context.Context<Client>
}

/** Databases that are clean again: to empty one takes 5 ms, to make one a quarter of a second. */
const idle = new Map<Server, Array<Leased>>()

const makeLeased = (server: Server): Effect.Effect<Leased> =>
  Effect.gen(function* () {
    const place = yield* migratedDatabase(server)
    return { place, client: yield* Layer.build(client(place)) }
  }).pipe(Scope.provide(fileScope))

const clear = (leased: Leased) =>
  Effect.flatMap(Tables, (tables) => tables.clear).pipe(
    Effect.provide(Layer.provide(inPostgres, Layer.succeedContext(leased.client)))
  )

/**
 * A migrated database without rows, to be given back as it was but for rows: whoever changes its schema takes a
 * {@link migratedDatabase}.
 */
export const leasedDatabase = (server: Server): Effect.Effect<Leased, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const leased = idle.get(server)?.pop()
      return leased === undefined ? makeLeased(server) : Effect.succeed(leased)
    }),
    (leased) =>
      Effect.tap(clear(leased), () =>
        Effect.sync(() => idle.set(server, [...(idle.get(server) ?? []), leased]))
      )
  )

/** The database service on a clean database of its own, new at each build. */
export const postgres = (server: Server): Layer.Layer<Database | Tables | Client> =>
  Layer.unwrap(
    Effect.map(leasedDatabase(server), (leased) =>
      Layer.merge(Postgres.layer(), inPostgres).pipe(Layer.provideMerge(Layer.succeedContext(leased.client)))
    )
  )
