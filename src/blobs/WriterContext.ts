/** What the steps of a writer share: the services behind it and its settings. */
import type { BlobDatabase } from "../database/Database.ts"
import type { Storage } from "../storage/Storage.ts"

/** Services and settings of a writer. */
export interface WriterContext {
  readonly database: BlobDatabase["Service"]
  readonly storage: Storage["Service"]
  /** Prefix of the keys of blobs. */
  readonly prefix: string
  /** Length of an intent's lease, in milliseconds. */
  readonly leaseMillis: number
  /** Length of a pin whose caller gave none, in milliseconds. */
  readonly pinMillis: number
  /** Most bodies of one `putAll` that are sent at once. */
  readonly concurrency: number
}

/**
 * Most attempts of one upload or one transaction. An upload that is reaped three times has too short a lease.
 */
export const attemptsMax = 3
