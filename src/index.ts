/**
 * artifact-gc as a library: the collector, the writer that is safe beside it, and the audit.
 *
 * Compose `Sweep.layer` with a database layer (`Postgres.layer`) and a `Storage` layer. Then run `Sweep.once`, or provide
 * `Collector.layer` for a schedule. This entry point loads neither S3, nor HTTP, nor an embedded PostgreSQL:
 *
 * - `artifact-gc/s3`: the store on S3, with the AWS SDK
 * - `artifact-gc/oci`: the OCI registry
 * - `artifact-gc/embedded`: PostgreSQL as a child process, for tests and small installations
 * - `artifact-gc/testing`: tools for time-travel tests
 */

// The collector: one sweep, a schedule of sweeps, their settings, progress and reports; the writer; the audit.

export * as Audit from "./audit/Audit.ts"
export * as AuditProgress from "./audit/Progress.ts"
export * as BlobStore from "./blobs/BlobStore.ts"
export * as AuditReport from "./domain/AuditReport.ts"
export * as Breaker from "./exports/Breaker.ts"
export type * as Phase from "./exports/Phase.ts"
export * as Status from "./exports/Status.ts"
export * as SweepReport from "./exports/SweepReport.ts"
export * as Collector from "./sweep/Collector.ts"
export * as CollectorPhases from "./sweep/CollectorPhases.ts"
export * as Progress from "./sweep/Progress.ts"
export * as ReferenceSource from "./sweep/ReferenceSource.ts"
export * as Settings from "./sweep/Settings.ts"
export * as Sweep from "./sweep/Sweep.ts"
export type { Window } from "./sweep/Window.ts"

// What they measure.

export * as Metrics from "./Metrics.ts"

// Every error that a sweep, an audit or a verb can meet.

export { DatabaseError, DatabaseFailure } from "./domain/DatabaseError.ts"
export * from "./domain/Refusals.ts"
export { SchemaProblem, SchemaRefused } from "./domain/SchemaRefused.ts"
export { SettingsInvalid } from "./domain/SettingsInvalid.ts"
export { StorageError, StorageFailure } from "./domain/StorageError.ts"

// The database and its implementations.

export * as CatalogNames from "./exports/CatalogNames.ts"
export * as Database from "./exports/Database.ts"
export * as MemoryDatabase from "./exports/MemoryDatabase.ts"
export * as Postgres from "./exports/Postgres.ts"

// The store and its implementations.

export * as Digest from "./domain/Digest.ts"
export * as ObjectKey from "./exports/ObjectKey.ts"
export * as FilesStorage from "./storage/Files.ts"
export * as Storage from "./storage/index.ts"
export * as MemoryStorage from "./storage/Memory.ts"
