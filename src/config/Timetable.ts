/**
 * When to sweep: the schedule, the hours of the day, and how long a collector is remembered between two
 * sweeps.
 */
import { type Duration, Result } from "effect"
import { cronOf, forgets, longestWait, presenceFor, type When, zoneOf } from "../sweep/When.ts"
import * as Window from "../sweep/Window.ts"
import type { Values } from "./settings.ts"

/** The schedule, as far as it can be read. */
export interface Timetable {
  /** Null if GC_CRON cannot be read. */
  readonly when: When | null
  /** Undefined is always. */
  readonly window: Window.Window | undefined
}

/** Returns schedule and hours. Adds a line to `problems` for each mistake. */
export const timetableOf = (values: Values, problems: Array<string>): Timetable => {
  const take = <A>(env: string, result: Result.Result<A, string>): A | undefined => {
    if (Result.isSuccess(result)) return result.success
    problems.push(`${env}: ${result.failure}`)
    return undefined
  }
  const zone = take("GC_TIME_ZONE", zoneOf(values.timeZone))
  const cron = values.cron === null ? null : (take("GC_CRON", cronOf(values.cron, zone)) ?? null)
  const window = values.window === null ? undefined : take("GC_WINDOW", Window.parse(values.window, zone))
  if (values.cron === null) return { when: { _tag: "interval", interval: values.interval }, window }
  return { when: cron === null ? null : { _tag: "cron", cron }, window }
}

/**
 * Returns GC_PRESENCE, or what follows from the schedule without it. Adds a line to `problems` if collectors would
 * forget each other between two sweeps.
 */
export const presenceOf = (
  { jitter, maxDuration, presence }: Values,
  when: When,
  window: Window.Window | undefined,
  problems: Array<string>
): Duration.Duration => {
  const wait = longestWait(when, jitter, window)
  if (presence === null) return presenceFor(wait, maxDuration)
  if (forgets(presence, wait, maxDuration)) {
    problems.push(
      "GC_PRESENCE: must not be less than the time from one sweep to the next (GC_INTERVAL or GC_CRON, GC_JITTER, GC_SWEEP_MAX_DURATION), or collectors would forget each other"
    )
  }
  return presence
}
