/** The task and the outcome of the variants that list. */
import type { S3Server } from "../harness/Servers.ts"

/** Describes the work. */
export interface Task {
  readonly s3: S3Server
}

/** Reports the work. */
export interface Outcome {
  readonly keys: number
  /** Sum of all sizes, which shows that every entry was read. Zero for the floor, which reads none. */
  readonly bytes: number
  readonly lastKey: string
}
