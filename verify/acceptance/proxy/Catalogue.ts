/**
 * The catalogue of a caching proxy that knows nothing of the collector, made before `migrate`, and the
 * collector beside it.
 */
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { Context, type Duration, Effect, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import type { BlobDatabase, CollectorDatabase } from "../../../src/database/Database.ts"
import * as Postgres from "../../../src/database/Postgres.ts"
import { type CatalogNames, defaultNames } from "../../../src/domain/CatalogNames.ts"
import type { EmbeddedPostgres } from "../../../src/embedded-postgres/Embedded.ts"
import * as Files from "../../../src/storage/Files.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import * as Collector from "../../../src/sweep/Collector.ts"
import { collectorPhases } from "../../../src/sweep/CollectorPhases.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"

const names: CatalogNames = { ...defaultNames, lastUsedAtColumn: null }

const tables = [
  `CREATE TABLE blobs (digest text COLLATE "C" PRIMARY KEY, object_key text NOT NULL UNIQUE,
     size_bytes bigint NOT NULL, created_at timestamptz NOT NULL)`,
  `CREATE TABLE artifacts (name text PRIMARY KEY, digest text COLLATE "C" NOT NULL REFERENCES blobs)`,
  "CREATE INDEX ON artifacts (digest)"
]

/** What the writers work on. */
export interface Catalogue {
  readonly sql: SqlClient.SqlClient
  readonly store: Storage["Service"]
  /** The services of a collector. */
  readonly services: Context.Context<BlobDatabase | CollectorDatabase | Storage>
}

/** Makes a database with the proxy's tables, a directory, and the collector's tables beside them. */
export const make = Effect.fnUntraced(function* (
  server: EmbeddedPostgres,
  folder: string,
  name: string,
  isGuarded: boolean
) {
  const clientOf = (database: string) => Layer.build(Postgres.layerClient({ ...server, database }))
  yield* Context.get(yield* clientOf("postgres"), SqlClient.SqlClient).unsafe(`CREATE DATABASE ${name}`)
  const client = yield* clientOf(name)
  const sql = Context.get(client, SqlClient.SqlClient)
  for (const table of tables) yield* sql.unsafe(table)
  yield* Effect.provideContext(Postgres.migrate(names, {}), client)
  if (isGuarded) yield* Effect.provideContext(Postgres.guardUnannouncedWriters(names), client)
  const directory = join(folder, name)
  yield* Effect.promise(() => mkdir(directory, { recursive: true }))
  const services = yield* Layer.build(
    Layer.merge(
      Postgres.layer(names).pipe(Layer.provide(Layer.succeedContext(client))),
      Files.layer({ directory, durable: false })
    )
  )
  return { sql, store: Context.get(services, Storage), services } satisfies Catalogue
})

const sweepOf = (
  { services }: Catalogue,
  settings: Partial<SweepSettings>,
  phases: typeof collectorPhases = collectorPhases
) =>
  Effect.map(
    Layer.build(Layer.provide(Sweep.layerUnchecked({ ...settings, phases }), Layer.succeedContext(services))),
    (built) => Context.get(built, Sweep)
  )

/** How the collectors of a play work. */
export interface Collecting {
  readonly settings: Partial<SweepSettings>
  /** From the end of a sweep of the service to the next. */
  readonly interval: Duration.Duration
  /** Whether another collector deletes every two seconds and leaves suspects to the service. */
  readonly besides: boolean
}

/** Runs the service, as `artifact-gc run` does, until the scope ends. */
export const collects = Effect.fnUntraced(function* (
  catalogue: Catalogue,
  { besides, interval, settings }: Collecting
) {
  const service = yield* sweepOf(catalogue, { ...settings, collectorId: "service" })
  yield* Collector.reports({ every: interval, jitter: 0 }).pipe(
    Stream.provideService(Sweep, service),
    Stream.runDrain,
    Effect.forkScoped
  )
  if (!besides) return
  const others = collectorPhases.filter(({ name }) => name !== "suspects")
  const deleting = yield* sweepOf(catalogue, { ...settings, collectorId: "deleting" }, others)
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(deleting.once(), Effect.sleep("2 seconds"))))
})
