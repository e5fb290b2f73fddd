/** How one sweep differs from the default, and what a collector is built from. */
import type { Duration, Effect } from "effect"
import type { Phase } from "./Phase.ts"
import type { ReferenceSource } from "./ReferenceSource.ts"
import type { SettingsInput } from "./Settings.ts"

/** How one sweep differs from the default. */
export interface SweepOptions {
  /** Reports what a sweep would delete now, and changes nothing. Default false. */
  readonly dryRun?: boolean
  /** Asked between batches. Once it answers true, the sweep ends after the batch in hand. Default: never. */
  readonly stopping?: Effect.Effect<boolean>
  /** Sweeps although the catalogue is paused, and its report says so. Default false. */
  readonly evenIfPaused?: boolean
  /** Milliseconds since the epoch. No batch begins at or after this instant. Default: no limit. */
  readonly until?: number
  /**
   * Asked at the end of the sweep when the next is due, in milliseconds since the epoch; null if none is. Other processes
   * see the answer. Default: not known.
   */
  readonly nextDueAt?: (endedAt: number) => Effect.Effect<number | null>
}

/** How long collectors are paused, and by whom. */
export interface PauseOptions {
  /** When the pause ends by itself. Default: never, because only the person who paused knows when it is over. */
  readonly for?: Duration.Input | undefined
  /** Who pauses, for the people who meet the pause. Default: the name of this collector. */
  readonly by?: string | undefined
}

/** The services that a phase needs. */
export type ServicesOf<P> = P extends Phase<infer R> ? R : never

/** The services that a reference source needs. */
export type ServicesOfSource<S> = S extends ReferenceSource<infer R> ? R : never

/** The phases of a collector, and where else references are kept. */
export interface Parts<P, S = never> {
  /**
   * The phases, in the order in which they run. Default: `collectorPhases`, those of a collector without a registry.
   */
  readonly phases?: ReadonlyArray<P> | undefined
  /**
   * References that are kept elsewhere. A blob is deleted only if none of these sources holds it. The collector remembers
   * their names: a sweep without one of them refuses, because it would delete what that source holds. Default: none.
   */
  readonly sources?: ReadonlyArray<S> | undefined
}

/** What a collector is built from: settings of the sweep, its phases, and references that are kept elsewhere. */
export type LayerOptions<P, S = never> = SettingsInput & Parts<P, S>
