/** How much space the repositories use. For people: nothing is decided by it. */
import type { Result } from "../../../database/contract/Result.ts"

/** How much a repository uses. */
export interface RepositorySize {
  readonly repository: string
  readonly manifests: number
  readonly tags: number
  /** The recorded size of the blobs that its manifests are or refer to, each counted once. */
  readonly bytes: number
  /** Of these bytes, those of blobs that no manifest of another repository is or refers to. */
  readonly freedBytes: number
}

/** The verbs of sizes. */
export interface Sizes {
  /**
   * Returns the largest repositories that have a manifest, the largest first, then by name; none if the tables are missing.
   *
   * It reads every manifest and reference once, so its cost grows with the catalogue. It fails with `DatabaseError` if it
   * takes longer than `withinMillis`, is not repeated, and takes no lock that a writer or a sweep waits for.
   */
  readonly largest: (limit: number, withinMillis: number) => Result<ReadonlyArray<RepositorySize>>
}
