/** What those who find orphans are told, and what they answer. */
import type { Statements } from "../harness/Recorder.ts"

export interface Task {
  readonly databaseUrl: string
  /** Blobs, candidates or sightings a page. */
  readonly scanPage: number
  /** In a rehearsal: count the statements. */
  readonly records: boolean
}

/** The orphans that were found, summed up: two sets of so many hashes do not have one sum by accident. */
export interface Found {
  readonly count: number
  /** Of what {@link checksumOf} says of each digest. */
  readonly checksum: number
}

export interface Pass {
  readonly found: Found
  /** From sending a statement to having its rows. */
  readonly slowestMillis: number
  readonly statements: Statements
}

export interface Review {
  readonly candidates: number
  /** Those that still nothing refers to when they are looked at again. */
  readonly found: Found
  readonly statements: Statements
}

/** The first 32 bits of `sha256:…`; the sum of two million of them is still exact. */
const checksumOf = (digest: string): number => Number.parseInt(digest.slice(7, 15), 16)

/** The same, summed up by the server. */
export const checksumSql = (digest: string): string =>
  `coalesce(sum(('x' || substr(${digest}, 8, 8))::bit(32)::bigint), 0)::float8`

/** Sums up digests as they come, and how long statements take. */
export const tally = () => {
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
