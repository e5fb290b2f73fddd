/**
 * artifact-gc as a library.
 *
 * Compose `Sweep.layer` with a database layer (`Postgres.layer`) and a `Storage` layer. Then run `Sweep.once`, or consume
 * `Collector.reports` for a schedule. `BlobStore.layer` is the writer that is safe beside them.
 * `artifact-gc/testing` contains the tools for time-travel tests. The README shows each in a few lines.
 */

// The collector: one sweep, a schedule of sweeps, their settings, progress and reports; the writer; the audit.

export * as Audit from "./audit/Audit.ts"
export * as AuditProgress from "./audit/Progress.ts"
export * as BlobStore from "./blobs/BlobStore.ts"
export * as AuditReport from "./domain/AuditReport.ts"
export * as Orphan from "./domain/Orphan.ts"
export { BreakerOpen } from "./domain/Refusals.ts"
export * as SweepReport from "./domain/SweepReport.ts"
export * as Breaker from "./sweep/Breaker.ts"
export * as Collector from "./sweep/Collector.ts"
export * as CollectorPhases from "./sweep/CollectorPhases.ts"
export type * as Phase from "./sweep/Phase.ts"
export * as Progress from "./sweep/Progress.ts"
export * as Settings from "./sweep/Settings.ts"
export * as Sweep from "./sweep/Sweep.ts"

// The database and its implementations.

export * as Database from "./database/Database.ts"
export * as MemoryDatabase from "./database/Memory.ts"
export * as Postgres from "./database/Postgres.ts"
export * as CatalogNames from "./domain/CatalogNames.ts"
export { DatabaseError, DatabaseFailure } from "./domain/DatabaseError.ts"
export { SchemaProblem, SchemaRefused } from "./domain/SchemaRefused.ts"

// The store and its implementations.

export * as Digest from "./domain/Digest.ts"
export * as ObjectKey from "./domain/ObjectKey.ts"
export { StorageError, StorageFailure } from "./domain/StorageError.ts"
export * as FilesStorage from "./storage/Files.ts"
export * as MemoryStorage from "./storage/Memory.ts"
export * as S3Storage from "./storage/S3.ts"
export * as Storage from "./storage/Storage.ts"

// The OCI registry: its database, its services, its phases of a sweep, and its routes for a server of the host.

export * as RegistryMemory from "./oci/database/Memory.ts"
export * as RegistryPostgres from "./oci/database/Postgres.ts"
export * as RegistryDatabase from "./oci/database/RegistryDatabase.ts"
export * as OciRoutes from "./oci/http/Routes.ts"
export * as RegistryPhases from "./oci/RegistryPhases.ts"
export * as Repositories from "./oci/Repositories.ts"
export * as Uploads from "./oci/Uploads.ts"

// Parts of the program itself: its services, its configuration, its embedded PostgreSQL and its HTTP server. They
// serve programs that build on the whole of artifact-gc, and change with the program.

export * as Services from "./cli/Services.ts"
export * as ArtifactGcConfig from "./config/Config.ts"
export * as Embedded from "./embedded-postgres/Embedded.ts"
export * as Server from "./oci/http/Server.ts"
