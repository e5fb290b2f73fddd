/** The real services, chosen by the configuration. Backends are put together here alone. */
import { join } from "node:path"
import { Context, Effect, Layer, Redacted } from "effect"
import type { SqlClient } from "effect/sql"
import { BlobStore } from "../blobs/BlobStore.ts"
import type { Configuration, Place } from "../config/Config.ts"
import type { BlobDatabase, CollectorDatabase } from "../database/Database.ts"
import * as Postgres from "../database/Postgres.ts"
import type { Patient } from "../doctor/Examine.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { SchemaRefused } from "../domain/SchemaRefused.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { type EmbeddedPostgresError, start, startOrJoin } from "../embedded-postgres/Embedded.ts"
import type { AccessFileRefused } from "../oci/access/WatchedFile.ts"
import * as RegistryPostgres from "../oci/database/Postgres.ts"
import type { RegistryDatabase } from "../oci/database/RegistryDatabase.ts"
import { registryPhases } from "../oci/RegistryPhases.ts"
import { Repositories } from "../oci/Repositories.ts"
import { Retention } from "../oci/retention/RetentionRules.ts"
import { Uploads } from "../oci/Uploads.ts"
import { makeDirectory } from "../platform/directories.ts"
import * as Files from "../storage/Files.ts"
import { fromFileSystem } from "../storage/files/Failure.ts"
import * as S3 from "../storage/S3.ts"
import type { Storage } from "../storage/Storage.ts"
import { Sweep } from "../sweep/Sweep.ts"
import * as Reload from "./reload/Connections.ts"
import * as Retained from "./reload/Retention.ts"

/** The services that commands use. */
export type Services =
  | BlobDatabase
  | CollectorDatabase
  | RegistryDatabase
  | Storage
  | Sweep
  | BlobStore
  | Uploads
  | Repositories
  | Vital
  | SqlClient.SqlClient
/** The errors that building the services may end with. */
export type ServicesError =
  | EmbeddedPostgresError
  | DatabaseError
  | SchemaRefused
  | StorageError
  | Reload.Refusal
  | AccessFileRefused

/** How a command uses the embedded database. */
export interface EmbeddedUse {
  /** The catalogue that a new one gets. Default: `blobs`. */
  readonly catalog?: Postgres.CatalogPreset
  /**
   * Whether the server may be that of another process, which ends with that process. Default true. False for services,
   * which would fail when the other one stops.
   */
  readonly joins?: boolean
}

/**
 * Provides all services of the commands. If the configuration names no database, joins the embedded PostgreSQL of a
 * process that serves the directory, or starts one.
 */
export const layer = (
  configuration: Configuration,
  { catalog = "blobs", joins = true }: EmbeddedUse = {}
): Layer.Layer<Services, ServicesError> => {
  const { blobPrefix, serve, sweep } = configuration
  const { hold, uploadLease } = serve
  return Layer.mergeAll(
    Sweep.layerUnchecked({
      ...sweep,
      presenceFollows: !configuration.givesPresence,
      phases: registryPhases
    }),
    Uploads.layer({ prefix: sweep.uploadPrefix, blobPrefix, uploadLease, hold }),
    Repositories.layer({ hold, referrers: sweep.referrers })
  ).pipe(
    Layer.provideMerge(BlobStore.layer({ prefix: blobPrefix, uploadLease })),
    Layer.provideMerge(Layer.effect(Retention, Retained.rules(configuration.retentionFile))),
    Layer.provideMerge(
      Layer.mergeAll(databaseLayer(configuration, { catalog, joins }), storageLayer(configuration))
    )
  )
}

/** The server that this process depends on. */
export class Vital extends Context.Service<
  Vital,
  {
    /**
     * Fails when the embedded PostgreSQL of this process ends by itself, so that the supervisor restarts both. Otherwise
     * it never completes.
     */
    readonly lost: Effect.Effect<never, EmbeddedPostgresError>
    /** Whether the embedded PostgreSQL is that of another process, which has migrated it. */
    readonly isJoined: boolean
  }
>()("artifact-gc/cli/Services/Vital") {}

/** Provides a connection to the database alone, for `migrate`. */
export const clientLayer = (
  configuration: Configuration,
  joins = true
): Layer.Layer<SqlClient.SqlClient | Vital, EmbeddedPostgresError | Reload.Refusal> => {
  const { place, database } = configuration
  if (place._tag === "External") {
    return Layer.merge(
      Layer.unwrap(
        Effect.map(Reload.database(place, configuration.secretFiles), (connection) =>
          Postgres.layerClient({ ...connection, ...database })
        )
      ),
      Layer.succeed(Vital, { lost: Effect.never, isJoined: false })
    )
  }
  return Layer.unwrap(
    Effect.gen(function* () {
      const options = { dataDirectory: join(place.directory, "postgres"), durable: place.durable }
      const { server, owner } = yield* joins
        ? startOrJoin(options)
        : Effect.map(start(options), (server) => ({ server, owner: null }))
      return Layer.merge(
        Postgres.layerClient({ ...server, ...database }),
        Layer.succeed(Vital, { lost: server.exited, isJoined: owner !== null })
      )
    })
  )
}

const databaseLayer = (configuration: Configuration, { catalog, joins }: Required<EmbeddedUse>) => {
  const { place, names } = configuration
  const database = Layer.merge(
    Postgres.layer(names, {
      description: describe(place),
      extensions: [RegistryPostgres.registrySchema]
    }),
    RegistryPostgres.layer(names)
  )
  // The embedded database belongs to this program alone, so no operator has to be asked to migrate it. The process that
  // serves it may be an older version, which a migration under it would stop.
  const migrated = Effect.flatMap(Vital, ({ isJoined }) =>
    isJoined
      ? Effect.void
      : RegistryPostgres.migrate(names, { createCatalog: catalog, isOwn: true, registry: true })
  )
  const ready =
    place._tag === "External" ? database : Layer.provideMerge(database, Layer.effectDiscard(migrated))
  return Layer.provideMerge(ready, clientLayer(configuration, joins))
}

/**
 * Provides database and store for a look that changes nothing: the server refuses to write, no directory is created, and no
 * migration is applied. A request is repeated once at most, because a person waits.
 */
export const patient = (
  configuration: Configuration
): Patient<EmbeddedPostgresError | StorageError | Reload.Refusal> => {
  const { names, place, secretFiles } = configuration
  const readOnly = { readOnly: true }
  const database = Layer.merge(
    Postgres.layer(names, {
      ...readOnly,
      description: describe(place),
      extensions: [RegistryPostgres.registrySchema]
    }),
    Postgres.layerHealth(names, readOnly)
  ).pipe(Layer.provide(clientLayer(configuration)))
  const store = (): Layer.Layer<Storage, StorageError | Reload.Refusal> => {
    if (place._tag === "Embedded") {
      return Files.layer({ directory: join(place.directory, "objects"), passive: true })
    }
    return place.store._tag === "Files"
      ? Files.layer({ directory: place.store.directory, passive: true })
      : Layer.unwrap(
          Effect.map(Reload.store(place.store, secretFiles), (options) =>
            S3.layer({ ...options, retries: 1 })
          )
        )
  }
  return { database, store: store() }
}

const describe = (place: Place): string =>
  place._tag === "Embedded" ? `embedded postgres below ${place.directory}` : describeUrl(place.databaseUrl)

/** Returns host and database, without user and password. */
const describeUrl = (redacted: Redacted.Redacted): string => {
  const text = Redacted.value(redacted)
  if (!URL.canParse(text)) return "postgres"
  const url = new URL(text)
  return `postgres at ${url.host}${url.pathname}`
}

/** Images are for this user alone, whatever the mask says. */
const privateDirectory = (path: string) =>
  Effect.tryPromise({
    try: () => makeDirectory(path, 0o700),
    catch: (cause) => fromFileSystem("probe", path, cause)
  })

const storageLayer = ({
  place,
  secretFiles
}: Configuration): Layer.Layer<Storage, StorageError | Reload.Refusal> => {
  if (place._tag === "Embedded") {
    const directory = join(place.directory, "objects")
    return Layer.unwrap(
      Effect.as(privateDirectory(directory), Files.layer({ directory, durable: place.durable }))
    )
  }
  return place.store._tag === "Files"
    ? Files.layer({ directory: place.store.directory })
    : Layer.unwrap(Effect.map(Reload.store(place.store, secretFiles), S3.layer))
}
