/** What ends a sweep early: its bounds in count and time, and a request to stop. Phases ask between batches. */
import { Clock, Duration, Effect } from "effect"
import type { StoppedBy } from "../domain/SweepReport.ts"
import type { SweepSettings } from "./Settings.ts"

/** How much a sweep, or a phase of it, may still do. */
export interface Bounds {
  /** Answers why no further batch may begin, or null when one may. */
  readonly exceeded: Effect.Effect<StoppedBy | null>
  /** Takes up to `wanted` deletions from what is left of the count, and returns how many it granted. */
  readonly grant: (wanted: number) => number
  /** Returns deletions to the count that were granted and did not happen. */
  readonly giveBack: (unused: number) => void
  /**
   * Returns the same bounds with this share of the time that is left at `now`. Work that could fill every sweep takes a
   * share, so that the work behind it runs.
   */
  readonly share: (fraction: number, now: number) => Bounds
}

/** Returns the question whether a sweep is to stop, if it is time to ask at `now`; null if it is not. */
export type Stopping = (now: number) => Effect.Effect<boolean> | null

/** Returns the bounds of a sweep that begins now and ends at `until` at the latest, or when `stopping` answers true. */
export const make = Effect.fnUntraced(function* (settings: SweepSettings, stopping: Stopping, until: number) {
  const deadline = Math.min((yield* Clock.currentTimeMillis) + Duration.toMillis(settings.maxDuration), until)
  let left = settings.maxDeletes
  const limitAt = (now: number, deadline: number): StoppedBy | null => {
    if (left <= 0) return "count"
    return now >= deadline ? "time" : null
  }
  const boundedBy = (deadline: number): Bounds => ({
    exceeded: Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const asked = stopping(now)
      return asked === null
        ? Effect.succeed(limitAt(now, deadline))
        : Effect.map(asked, (isStopping) => (isStopping ? "stopped" : limitAt(now, deadline)))
    }),
    grant: (wanted) => {
      const granted = Math.min(wanted, left)
      left -= granted
      return granted
    },
    giveBack: (unused) => {
      left += unused
    },
    share: (fraction, now) => boundedBy(now + Math.max(0, deadline - now) * fraction)
  })
  return boundedBy(deadline)
})
