/** The registry's database in PostgreSQL, beside the collector's. */
import { Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { type MigrateOptions, migrate as migrateCore } from "../../database/Postgres.ts"
import { make } from "../../database/postgres/Sql.ts"
import { cachedDigestType } from "../../database/postgres/schema/DigestType.ts"
import { type CatalogNames, defaultNames } from "../../domain/CatalogNames.ts"
import { RegistryDatabase } from "./contract/Registry.ts"
import * as Keys from "./postgres/Keys.ts"
import * as Manifests from "./postgres/Manifests.ts"
import { registrySql } from "./postgres/RegistrySql.ts"
import { furtherMigrations } from "./postgres/RegistryTables.ts"
import * as Retention from "./postgres/Retention.ts"
import * as Sizes from "./postgres/Sizes.ts"
import * as UploadSessions from "./postgres/UploadSessions.ts"

export { registrySchema } from "./postgres/RegistryAccess.ts"
export { latestRegistryMigration, registrySet } from "./postgres/RegistryTables.ts"

/** The registry's database on a client that the caller provides. It asks nothing until the first verb. */
export const layer = (
  names: CatalogNames = defaultNames
): Layer.Layer<RegistryDatabase, never, SqlClient.SqlClient> =>
  Layer.effect(
    RegistryDatabase,
    Effect.gen(function* () {
      const db = registrySql(yield* make(names))
      const type = yield* cachedDigestType(db)
      return RegistryDatabase.of({
        sessions: UploadSessions.make(db, type),
        manifests: Manifests.make(db, type),
        keys: Keys.make(db),
        retention: Retention.make(db, type),
        sizes: Sizes.make(db, type)
      })
    })
  )

/** What `migrate` may create beside the collector's tables. */
export interface RegistryMigrateOptions extends MigrateOptions {
  /** Whether to create the registry's tables where there are none. Default false. */
  readonly registry?: boolean
}

/**
 * Brings the collector's tables up to date, and the registry's where they are wanted or were ever made, in
 * one transaction. Fails like the collector's `migrate`.
 */
export const migrate = (names: CatalogNames, { registry = false, ...options }: RegistryMigrateOptions) =>
  migrateCore(names, options, [furtherMigrations(names, registry)])
