/** The task and the outcomes of the variants that find orphans. */
import type { Statements } from "../harness/Recorder.ts"

/** Describes the work. */
export interface Task {
  readonly databaseUrl: string
  /** Blobs, candidates or sightings a page. */
  readonly scanPage: number
  /** True in a rehearsal, which counts the statements. */
  readonly records: boolean
}

/** Identifies a set of orphans. Two different sets of hashes do not have the same sum by accident. */
export interface Found {
  readonly count: number
  /** Sum of {@link checksumOf} over all digests. */
  readonly checksum: number
}

/** Reports a pass. */
export interface Pass {
  readonly found: Found
  /** Duration of the slowest statement, until its rows have arrived. */
  readonly slowestMillis: number
  readonly statements: Statements
}

/** Reports a review. */
export interface Review {
  readonly candidates: number
  /** The candidates that are still orphans when they are checked again. */
  readonly found: Found
  readonly statements: Statements
}

/** Returns the first 32 bits of `sha256:…`. The sum of two million of them is still exact. */
const checksumOf = (digest: string): number => Number.parseInt(digest.slice(7, 15), 16)

/** Returns SQL for the sum of the same bits. */
export const checksumSql = (digest: string): string =>
  `coalesce(sum(('x' || substr(${digest}, 8, 8))::bit(32)::bigint), 0)::float8`

/** Creates totals of the digests that are found and of the durations of statements. */
export const totals = () => {
  let count = 0
  let checksum = 0
  let slowestMillis = 0
  return {
    add: (digest: string) => {
      count += 1
      checksum += checksumOf(digest)
    },
    took: (millis: number) => {
      slowestMillis = Math.max(slowestMillis, millis)
    },
    found: (): Found => ({ count, checksum }),
    slowestMillis: () => slowestMillis
  }
}
