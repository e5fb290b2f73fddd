/** What those who list are told, and what they answer. */
import type { S3Server } from "../harness/Servers.ts"

export interface Task {
  readonly s3: S3Server
}

export interface Outcome {
  readonly keys: number
  /** The sum of all sizes, which shows that every entry was read; zero of a floor that reads none. */
  readonly bytes: number
  readonly lastKey: string
}
