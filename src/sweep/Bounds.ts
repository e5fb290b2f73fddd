/** What ends a sweep early: its bounds in count and time, and a request to stop. Asked between batches. */
import { Clock, Duration, Effect } from "effect"
import type { StoppedBy } from "../domain/SweepReport.ts"
import type { SweepSettings } from "./Settings.ts"

export interface Bounds {
  /** Why no further batch may begin, or null when one may. */
  readonly exceeded: Effect.Effect<StoppedBy | null>
  /** Takes up to `wanted` deletions from what is left of the count and answers how many were granted. */
  readonly grant: (wanted: number) => number
  /** Gives back deletions that were granted and did not happen. */
  readonly giveBack: (unused: number) => void
  /**
   * The same bounds with only this share of the time that is left, for work that would otherwise use all of it in
   * every sweep and let nothing behind it come to pass.
   */
  readonly share: (fraction: number) => Effect.Effect<Bounds>
}

/** Bounds of a sweep that begins now, is over at `until` at the latest, and is asked to stop when `stopping` says so. */
export const make = Effect.fnUntraced(function* (
  settings: SweepSettings,
  stopping: Effect.Effect<boolean>,
  until: number
) {
  const deadline = Math.min((yield* Clock.currentTimeMillis) + Duration.toMillis(settings.maxDuration), until)
  let left = settings.maxDeletes
  const boundedBy = (deadline: number): Bounds => ({
    exceeded: Effect.gen(function* () {
      if (yield* stopping) return "stopped"
      if (left <= 0) return "count"
      return (yield* Clock.currentTimeMillis) >= deadline ? "time" : null
    }),
    grant: (wanted) => {
      const granted = Math.min(wanted, left)
      left -= granted
      return granted
    },
    giveBack: (unused) => {
      left += unused
    },
    share: (fraction) =>
      Effect.map(Clock.currentTimeMillis, (now) => boundedBy(now + Math.max(0, deadline - now) * fraction))
  })
  return boundedBy(deadline)
})
