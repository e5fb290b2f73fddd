/**
 * The catalogue in PostgreSQL 15 or newer. All SQL is in database/postgres, and the registry's in
 * oci/database.
 */
import type { ConnectionOptions } from "node:tls"
import { PgClient } from "@effect/sql-pg"
import { Clock, Context, Effect, Layer, Option, type Redacted, Ref } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import { type CatalogNames, defaultNames } from "../domain/CatalogNames.ts"
import { DatabaseError } from "../domain/DatabaseError.ts"
import { BlobDatabase, CollectorDatabase } from "./Database.ts"
import * as Audit from "./postgres/Audit.ts"
import * as Backlog from "./postgres/Backlog.ts"
import * as Binding from "./postgres/Binding.ts"
import * as Blobs from "./postgres/Blobs.ts"
import * as Breakers from "./postgres/Breakers.ts"
import * as Control from "./postgres/Control.ts"
import * as History from "./postgres/History.ts"
import { installationOf } from "./postgres/Installation.ts"
import * as Instants from "./postgres/Instants.ts"
import * as Journal from "./postgres/Journal.ts"
import * as Leftovers from "./postgres/Leftovers.ts"
import * as Orphans from "./postgres/Orphans.ts"
import * as Peers from "./postgres/Peers.ts"
import { directCommit } from "./postgres/Reader.ts"
import * as ReferenceChecks from "./postgres/ReferenceChecks.ts"
import { readerSettings, type SessionOptions, SessionSettings, writerSettings } from "./postgres/Session.ts"
import { make } from "./postgres/Sql.ts"
import { cachedDigestType } from "./postgres/schema/DigestType.ts"
import { type Catalog, inspect, type SchemaExtension } from "./postgres/schema/SchemaGuard.ts"
import * as Suspects from "./postgres/triggers/unannounced/Suspects.ts"
import * as Candidates from "./postgres/triggers/watch/Candidates.ts"
import { on, verbs } from "./postgres/Verbs.ts"

export { layerHealth } from "./postgres/health/Health.ts"
export { type CatalogPreset, latestMigration } from "./postgres/schema/MigrationList.ts"
export {
  type Applied,
  type FurtherMigrations,
  type MigrateOptions,
  migrate
} from "./postgres/schema/Migrations.ts"
export type { SchemaExtension } from "./postgres/schema/SchemaGuard.ts"
export type { TriggerChange } from "./postgres/triggers/TriggerSet.ts"
export {
  guardUnannouncedWriters,
  unguardUnannouncedWriters
} from "./postgres/triggers/unannounced/UnannouncedWriters.ts"
export { unwatchReferences, watchReferences } from "./postgres/triggers/watch/Watching.ts"

/** How to connect to a server by its address. */
export interface PostgresOptions extends SessionOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: Redacted.Redacted
  /**
   * Whether connections are encrypted, and how the server is verified: options of Node's `tls.connect`, read for each new
   * connection. Default: as `sslmode` of the URL says, and no encryption without one.
   */
  readonly tls?: boolean | ConnectionOptions
  /** User and password of new connections. Default: those of the URL. */
  readonly login?: Login
  /**
   * Connections of this process. Default 10: one for each delete batch in flight, and two for scanning. From four on, a quarter
   * of them is for statements that only read, and from eight on a fifth for single statements that write, unless a pooler answers.
   */
  readonly maxConnections?: number
}

/** User and password that may change while the program runs. They are asked for with each new connection. */
export interface Login {
  /** Returns the name of the role. Undefined is that of the URL. */
  readonly user: () => string | undefined
  /** Returns the password. */
  readonly password: Effect.Effect<Redacted.Redacted>
}

/**
 * Provides a connection pool, and its time-outs to the databases that are made on it. Connections need no
 * settings, because each transaction has its own, and poolers refuse parameters that they do not know.
 */
export const layerClient = ({
  maxConnections = 10,
  statementTimeout,
  lockTimeout,
  ...options
}: PostgresOptions | SocketOptions) => {
  const place = (): Partial<PgClient.PgPoolConfig> =>
    "url" in options
      ? placeOf(options)
      : {
          host: options.socketDirectory,
          port: options.port,
          username: options.user,
          database: options.database
        }
  const limits = { ...(statementTimeout && { statementTimeout }), ...(lockTimeout && { lockTimeout }) }
  const connect = (connections: number, startup: Readonly<Record<string, string>>) =>
    Layer.orDie(
      PgClient.layer(
        // The client reads the options anew for each connection, and a copy would hold the first user.
        Object.assign(place(), {
          maxConnections: connections,
          connectTimeout: "5 seconds",
          applicationName: "artifact-gc",
          startupParameters: startup
        })
      )
    )
  const readers = maxConnections < 4 ? 0 : Math.floor(maxConnections / 4)
  const writers = maxConnections < 8 ? 0 : Math.floor(maxConnections / 5)
  // PgBouncer knows this parameter.
  const client = connect(maxConnections - readers - writers, { TimeZone: "UTC" })
  const settings = Layer.effect(
    SessionSettings,
    Effect.gen(function* () {
      if (readers === 0) return limits
      const built = yield* Layer.build(Layer.fresh(connect(readers, readerSettings(limits))))
      const reader = Context.get(built, SqlClient.SqlClient)
      const commit = yield* directCommit(reader)
      if (commit === null) return limits
      if (writers === 0) return { ...limits, reader }
      const writing = connect(writers, writerSettings(limits, commit))
      const writer = Context.get(yield* Layer.build(Layer.fresh(writing)), SqlClient.SqlClient)
      return { ...limits, reader, writer }
    })
  )
  return Layer.merge(client, settings).pipe(
    Layer.provide(Layer.succeed(Clock.Clock, Clock.Clock.defaultValue()))
  )
}

const placeOf = ({ login, tls, url }: PostgresOptions): Partial<PgClient.PgPoolConfig> => {
  const place = { url, ...(tls !== undefined && { ssl: tls }) }
  return login === undefined
    ? place
    : Object.defineProperty({ ...place, password: login.password }, "username", { get: login.user })
}

/** How to connect to a server on this machine by its unix socket. */
export interface SocketOptions extends Omit<PostgresOptions, "url" | "tls" | "login"> {
  /** The directory of the socket. */
  readonly socketDirectory: string
  /** The port, which is part of the socket's name. */
  readonly port: number
  /** The role. */
  readonly user: string
  /** The database. */
  readonly database: string
}

/** What a database may be told. Time-outs default to those of the client. */
export interface LayerOptions extends SessionOptions {
  /** Names the database for people, without its password. Default `postgres`. */
  readonly description?: string
  /** Tables of other parts of the program, e.g. a registry's, for the schema guard to judge. Default none. */
  readonly extensions?: ReadonlyArray<SchemaExtension>
}

/**
 * The collector's and the writers' database on a client that the caller provides. It asks nothing until the
 * first verb.
 */
export const layer = (
  names: CatalogNames = defaultNames,
  { description = "postgres", extensions = [], ...session }: LayerOptions = {}
): Layer.Layer<CollectorDatabase | BlobDatabase, never, SqlClient.SqlClient> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const db = yield* make(names, session)
      const catalog = yield* Ref.make<Catalog | null>(null)
      const known = Effect.flatMap(Ref.get(catalog), (found) =>
        found === null ? Effect.fail(notInspected) : Effect.succeed(found)
      )
      const type = yield* cachedDigestType(db)
      const inspected = (hasSources: boolean) =>
        inspect(db, extensions, hasSources).pipe(
          Effect.tap((found) => Ref.set(catalog, found)),
          // What was found before may no longer be true, so it must not serve another purge.
          Effect.tapError(() => Ref.set(catalog, null)),
          Effect.map((found) => found.references)
        )
      const collector = CollectorDatabase.of({
        description,
        orphans: Orphans.make(db, known),
        candidates: Candidates.make(db, known),
        journal: Journal.make(db),
        leftovers: Leftovers.make(db),
        binding: yield* Binding.make(db, known),
        breakers: Breakers.make(db),
        references: yield* ReferenceChecks.make(db, known, extensions),
        peers: Peers.make(db),
        control: Control.make(db),
        history: History.make(db),
        instants: Instants.make(db),
        suspects: Suspects.make(db, known, Option.getOrNull(yield* Effect.serviceOption(PgClient.PgClient))),
        audit: Audit.make(db, known),
        ...verbs<Pick<CollectorDatabase["Service"], InspectingVerb | "installation" | "skew" | "backlog">>(
          db,
          null,
          {
            inspect: inspected(false),
            inspectWithSources: inspected(true),
            installation: Effect.map(known, installationOf),
            skew: Peers.skew(db),
            backlog: on(db)(Backlog.backlog)
          }
        )
      })
      return Context.make(CollectorDatabase, collector).pipe(
        Context.add(BlobDatabase, BlobDatabase.of(Blobs.make(db, type)))
      )
    })
  )

type InspectingVerb = "inspect" | "inspectWithSources"

const notInspected = new DatabaseError({
  operation: "orphans",
  reason: "SchemaChanged",
  detail: "the schema guard has not passed; call CollectorDatabase.inspect first"
})
