/** All that the page shows, as one value. */
import type { Stock } from "../../database/Database.ts"
import type { LargestRepositories } from "../../oci/database/RegistryDatabase.ts"
import type { Status } from "../../status/Status.ts"
import type { TrendPoint } from "./Trend.ts"

/** Dead letters with the same error. */
export interface DeadLetters {
  /** The store's code or the error's reason. */
  readonly reason: string
  readonly keys: number
  readonly bytes: number
  /** When the first was given up on. */
  readonly oldestAt: number
  /** The key and the error of the first. */
  readonly example: { readonly key: string; readonly error: string }
}

/** What is computed seldom. */
export type Slow<A> =
  | { readonly _tag: "Known"; readonly at: number; readonly value: A }
  /** It is being computed for the first time. */
  | { readonly _tag: "Pending" }
  /** It could not be computed. `retryAt` is when a request computes it again. */
  | { readonly _tag: "Failed"; readonly retryAt: number }

/** What the page shows. */
export interface PageFacts {
  readonly status: Status
  /** Sweeps that ended, the oldest first. */
  readonly trend: ReadonlyArray<TrendPoint>
  readonly deadLetters: {
    readonly groups: ReadonlyArray<DeadLetters>
    /** How many were read. There may be more. */
    readonly read: number
  }
  /** All blobs. */
  readonly stock: Slow<Stock>
  /** The largest repositories. Empty without a registry. */
  readonly repositories: Slow<LargestRepositories>
}
