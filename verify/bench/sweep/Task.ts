/** The task and the outcome of the variants of a sweep. */
import type { Statements } from "../harness/Recorder.ts"
import type { S3Server } from "../harness/Servers.ts"

/** Describes the work. */
export interface Task {
  readonly databaseUrl: string
  readonly s3: S3Server
  /** No object without this prefix may be touched. */
  readonly prefix: string
  /** Blobs a slice. */
  readonly scanPage: number
  /** Keys a batch. */
  readonly batch: number
  /** Batches in flight. */
  readonly concurrency: number
  /** Maximum number of deleted objects. */
  readonly maxDeletes: number
  /** True in a rehearsal, which counts the statements. */
  readonly records: boolean
}

/** Reports the work. */
export interface Outcome {
  readonly deleted: number
  /** Duration of finding and recording the orphans. */
  readonly scanMillis: number
  /** Duration of purging the rows and deleting the objects. */
  readonly purgeMillis: number
  /** How often each statement was executed. Empty unless `records` is true. */
  readonly statements: Statements
}
