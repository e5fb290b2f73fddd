/** The task and the outcome of the variants of a purge. */
import type { Statements } from "../harness/Recorder.ts"

/** Describes the work. */
export interface Task {
  readonly databaseUrl: string
  /** Rows a page. */
  readonly batch: number
  /** Pages whose keys are confirmed at the same time. */
  readonly concurrency: number
  /** Number of rows after which the baseline stops. */
  readonly sample: number
  /** True in a rehearsal, which counts the statements. */
  readonly records: boolean
}

/** Reports the work. */
export interface Outcome {
  readonly purged: number
  readonly statements: Statements
}
