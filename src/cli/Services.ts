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
import { type EmbeddedPostgresError, start } from "../embedded-postgres/Embedded.ts"
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

/**
 * Provides all services of the commands. Starts an embedded PostgreSQL if the configuration names no
 * database, with a catalogue of this kind.
 */
export const layer = (
  configuration: Configuration,
  catalog: Postgres.CatalogPreset = "blobs"
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
    Layer.provideMerge(Layer.mergeAll(databaseLayer(configuration, catalog), storageLayer(configuration)))
  )
}

/**
 * The child process that this process depends on. `lost` fails when the embedded PostgreSQL ends by itself,
 * so that the supervisor restarts both. Otherwise it never completes.
 */
export class Vital extends Context.Service<
  Vital,
  { readonly lost: Effect.Effect<never, EmbeddedPostgresError> }
>()("artifact-gc/cli/Services/Vital") {}

/** Provides a connection to the database alone, for `migrate`. */
export const clientLayer = (
  configuration: Configuration
): Layer.Layer<SqlClient.SqlClient | Vital, EmbeddedPostgresError | Reload.Refusal> => {
  const { place, database } = configuration
  if (place._tag === "External") {
    return Layer.merge(
      Layer.unwrap(
        Effect.map(Reload.database(place, configuration.secretFiles), (connection) =>
          Postgres.layerClient({ ...connection, ...database })
        )
      ),
      Layer.succeed(Vital, { lost: Effect.never })
    )
  }
  return Layer.unwrap(
    Effect.gen(function* () {
      const server = yield* start({
        dataDirectory: join(place.directory, "postgres"),
        durable: place.durable
      })
      return Layer.merge(
        Postgres.layerClient({ ...server, ...database }),
        Layer.succeed(Vital, { lost: server.exited })
      )
    })
  )
}

const databaseLayer = (configuration: Configuration, catalog: Postgres.CatalogPreset) => {
  const { place, names } = configuration
  const database = Layer.merge(
    Postgres.layer(names, {
      description: describe(place),
      extensions: [RegistryPostgres.registrySchema]
    }),
    RegistryPostgres.layer(names)
  )
  // The embedded database belongs to this program alone, so no operator has to be asked to migrate it.
  const ready =
    place._tag === "External"
      ? database
      : Layer.provideMerge(
          database,
          Layer.effectDiscard(
            RegistryPostgres.migrate(names, { createCatalog: catalog, isOwn: true, registry: true })
          )
        )
  return Layer.provideMerge(ready, clientLayer(configuration))
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
