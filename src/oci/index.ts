/**
 * `artifact-gc/oci`: the OCI registry. Its database, its services, its phases of a sweep, and its routes for
 * an HTTP server of the host.
 */

export * as RegistryDatabase from "../exports/RegistryDatabase.ts"
export * as RegistryMemory from "../exports/RegistryMemory.ts"
export * as RegistryPostgres from "../exports/RegistryPostgres.ts"
export * as OciAccess from "./access/Access.ts"
export * as AccessPasswords from "./access/Passwords.ts"
export * as AccessRules from "./access/Rules.ts"
export * as AccessTokenService from "./access/TokenService.ts"
export * as AccessFile from "./access/WatchedFile.ts"
export * as OciRoutes from "./http/Routes.ts"
export * as RegistryMetrics from "./Metrics.ts"
export * as RegistryPhases from "./RegistryPhases.ts"
export * as Repositories from "./Repositories.ts"
export * as Uploads from "./Uploads.ts"
