/**
 * `artifact-gc/oci`: the OCI registry. Its database, its services, its phases of a sweep, and its routes for an HTTP server of
 * the host.
 */

export * as RegistryMemory from "./database/Memory.ts"
export * as RegistryPostgres from "./database/Postgres.ts"
export * as RegistryDatabase from "./database/RegistryDatabase.ts"
export * as OciRoutes from "./http/Routes.ts"
export * as RegistryMetrics from "./Metrics.ts"
export * as RegistryPhases from "./RegistryPhases.ts"
export * as Repositories from "./Repositories.ts"
export * as Uploads from "./Uploads.ts"
