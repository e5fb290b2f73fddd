/** How a sweep reports its progress. By default it reports to no watcher. */
import { Context, Effect } from "effect"

/** How far a phase is. */
export interface ProgressEvent {
  /** The name of the phase. */
  readonly phase: string
  /** Examined by the phase so far. */
  readonly seen: number
  /** Objects and uploads in parts whose deletion the store confirmed so far. */
  readonly deleted: number
  /** The recorded size of the deleted objects, in bytes. */
  readonly bytes: number
  /** How many deletions the phase expects in all, where that is known. */
  readonly expected: number | null
}

/** Receives the progress of the sweeps that run in its scope. */
export class Progress extends Context.Reference<{
  /** Whether expectations are worth a query. */
  readonly watched: boolean
  /** Receives an event. Called after each batch that changed a number; a slow receiver slows the sweep. */
  readonly report: (event: ProgressEvent) => Effect.Effect<void>
}>("artifact-gc/sweep/Progress", {
  defaultValue: () => ({ watched: false, report: () => Effect.void })
}) {}
