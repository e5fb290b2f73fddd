/** The module `RegistryPostgres` of `artifact-gc/oci`. */

export { layer, migrate, type RegistryMigrateOptions, registrySchema } from "../oci/database/Postgres.ts"
