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

/** The largest repositories, by all blobs or by a sample of them. */
export interface LargestRepositories {
  /** The share of all blobs that was read. Below 1 the sizes are estimates, and a repository of few blobs may be missing. */
  readonly share: number
  readonly repositories: ReadonlyArray<RepositorySize>
}

/** The verbs of sizes. */
export interface Sizes {
  /**
   * Returns the largest repositories that have a manifest, the largest first, then by name; none if the tables are missing.
   *
   * It reads manifests and references in the order of digests, in short statements, and ends after `withinMillis` of them.
   * Digests are hashes, so it then estimates by a fair sample. It fails with `DatabaseError` if a statement takes longer, is
   * not repeated, and takes no lock that a writer or a sweep waits for.
   */
  readonly largest: (limit: number, withinMillis: number) => Result<LargestRepositories>
}
