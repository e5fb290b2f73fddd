/** Ends a sweep under way when its catalogue is paused. */
import { Clock, Duration, Effect } from "effect"
import { CollectorDatabase } from "../database/Database.ts"

/**
 * How often a sweep under way, and a collector that is paused, ask whether the catalogue is paused. A row is read each
 * time, and an operator waits this long at most.
 */
export const askEvery = Duration.seconds(5)

/**
 * Returns a question to ask between batches: whether the catalogue has been paused meanwhile. The database is asked at
 * most every {@link askEvery}. Without an answer the sweep continues, and meets the trouble itself.
 */
export const make = Effect.gen(function* () {
  const { control } = yield* CollectorDatabase
  let asked = yield* Clock.currentTimeMillis
  let isPaused = false
  return Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (isPaused || now - asked < Duration.toMillis(askEvery)) return isPaused
    asked = now
    isPaused = (yield* Effect.catchCause(control.paused(now), () => Effect.succeed(null))) !== null
    return isPaused
  })
})
