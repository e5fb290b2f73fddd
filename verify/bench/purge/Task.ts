/** What those who purge are told, and what they answer. */
import type { Statements } from "../harness/Recorder.ts"

export interface Task {
  readonly databaseUrl: string
  /** Rows a page, and pages whose keys are confirmed at once. */
  readonly batch: number
  readonly concurrency: number
  /** Rows after which the baseline stops. */
  readonly sample: number
  /** In a rehearsal: count the statements. */
  readonly records: boolean
}

export interface Outcome {
  readonly purged: number
  readonly statements: Statements
}
