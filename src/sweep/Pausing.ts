/** Ends a sweep under way when its catalogue is paused. */
import { Duration, Effect } from "effect"
import type { Control } from "../database/Database.ts"
import type { Stopping } from "./Bounds.ts"

/**
 * How often a sweep under way, and a collector that is paused, ask whether the catalogue is paused. A row is read each
 * time, and an operator waits this long at most.
 */
export const askEvery = Duration.seconds(5)

/**
 * Returns a question to ask between batches of a sweep that began at `startedAt`: whether the catalogue has been paused
 * meanwhile. The database is asked at most every {@link askEvery}. Without an answer the sweep continues, and meets the
 * trouble itself.
 */
export const make = (control: Pick<Control, "paused">, startedAt: number): Stopping => {
  let asked = startedAt
  let isPaused = false
  return (now) => {
    if (isPaused) return Effect.succeed(true)
    if (now - asked < Duration.toMillis(askEvery)) return null
    asked = now
    return Effect.map(
      Effect.catchCause(control.paused(now), () => Effect.succeed(null)),
      (pause) => {
        isPaused = pause !== null
        return isPaused
      }
    )
  }
}
