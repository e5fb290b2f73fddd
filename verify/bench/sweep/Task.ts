/** What the three contenders of the sweep are told, and what they answer. */
import type { Statements } from "../harness/Recorder.ts"
import type { S3Server } from "../harness/Servers.ts"

export interface Task {
  readonly databaseUrl: string
  readonly s3: S3Server
  /** Nothing of the bucket outside it may be touched. */
  readonly prefix: string
  /** Blobs a slice, keys a batch, batches in flight. */
  readonly scanPage: number
  readonly batch: number
  readonly concurrency: number
  /** Objects that may be deleted. */
  readonly maxDeletes: number
  /** In a rehearsal: count the statements. */
  readonly records: boolean
}

export interface Outcome {
  readonly deleted: number
  /** Finding the orphans and writing down what was found. */
  readonly scanMillis: number
  /** Purging the rows and deleting the objects. */
  readonly purgeMillis: number
  /** How often each statement was executed. Empty unless asked for. */
  readonly statements: Statements
}
