/**
 * artifact-gc as a library: the collector, the writer that is safe beside it, and the audit.
 *
 * Compose `Sweep.layer` with a database layer (`Postgres.layer`) and a `Storage` layer. Then run `Sweep.once`, or consume
 * `Collector.reports` for a schedule. This entry point loads neither S3, nor HTTP, nor an embedded PostgreSQL:
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
export * as Orphan from "./domain/Orphan.ts"
export * as SweepReport from "./domain/SweepReport.ts"
export * as Breaker from "./sweep/Breaker.ts"
export * as Collector from "./sweep/Collector.ts"
export * as CollectorPhases from "./sweep/CollectorPhases.ts"
export type * as Phase from "./sweep/Phase.ts"
export * as Progress from "./sweep/Progress.ts"
export * as ReferenceSource from "./sweep/ReferenceSource.ts"
export * as Settings from "./sweep/Settings.ts"
export * as Sweep from "./sweep/Sweep.ts"

// What they measure.

export * as Metrics from "./Metrics.ts"

// Every error that a sweep, an audit or a verb can meet.

export { DatabaseError, DatabaseFailure } from "./domain/DatabaseError.ts"
export * from "./domain/Refusals.ts"
export { SchemaProblem, SchemaRefused } from "./domain/SchemaRefused.ts"
export { StorageError, StorageFailure } from "./domain/StorageError.ts"

// The database and its implementations.

export * as Database from "./database/Database.ts"
export * as MemoryDatabase from "./database/Memory.ts"
export * as Postgres from "./database/Postgres.ts"
export * as CatalogNames from "./domain/CatalogNames.ts"

// The store and its implementations.

export * as Digest from "./domain/Digest.ts"
export * as ObjectKey from "./domain/ObjectKey.ts"
export * as FilesStorage from "./storage/Files.ts"
export * as Storage from "./storage/index.ts"
export * as MemoryStorage from "./storage/Memory.ts"
