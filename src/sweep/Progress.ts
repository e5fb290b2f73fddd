/** What a sweep tells a watching person while it works. Nobody watches by default. */
import { Context, Effect } from "effect"

export interface ProgressEvent {
  readonly phase: string
  /** Of the phase so far. */
  readonly seen: number
  readonly deleted: number
  readonly bytes: number
  /** How many deletions the phase expects in all, where that is known. */
  readonly expected: number | null
}

export class Progress extends Context.Reference<{
  /** Whether expectations are worth a query. */
  readonly watched: boolean
  readonly report: (event: ProgressEvent) => Effect.Effect<void>
}>("artifact-gc/sweep/Progress", {
  defaultValue: () => ({ watched: false, report: () => Effect.void })
}) {}
