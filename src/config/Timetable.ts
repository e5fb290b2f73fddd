/**
 * When to sweep: the schedule, the hours of the day, and how long a collector is remembered between two
 * sweeps.
 */
import { Cron, DateTime, Duration, Option, Result } from "effect"
import type { When } from "../sweep/Collector.ts"
import type { Window } from "../sweep/Window.ts"
import type { Values } from "./settings.ts"

/** Returns the schedule, or null if GC_CRON cannot be read. Adds a line to `problems` for each mistake. */
export const whenOf = (values: Values, problems: Array<string>): When | null => {
  const zone = DateTime.zoneMakeNamed(values.timeZone)
  if (Option.isNone(zone)) problems.push("GC_TIME_ZONE: not an IANA time zone (such as Europe/Berlin)")
  if (values.cron === null) return { _tag: "interval", interval: values.interval }
  const cron = Cron.parse(values.cron, Option.getOrUndefined(zone))
  if (Result.isFailure(cron)) {
    problems.push(`GC_CRON: ${cron.failure.message} (expected a cron expression such as "30 2 * * *")`)
    return null
  }
  if (!hasTime(cron.success)) problems.push("GC_CRON: no day matches it (for example the 31st of February)")
  return { _tag: "cron", cron: cron.success }
}

/** Returns the hours for sweeps; undefined is always. Adds a line to `problems` if they cannot be read. */
export const windowOf = (values: Values, problems: Array<string>): Window | undefined => {
  if (values.window === null) return undefined
  const zone = Option.getOrUndefined(DateTime.zoneMakeNamed(values.timeZone))
  const times = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(values.window)
  const [, fromHour, fromMinute, toHour, toMinute] = times ?? []
  // Two equal times could mean never or always.
  if (times === null || (fromHour === toHour && fromMinute === toMinute)) {
    problems.push("GC_WINDOW: write two different times of the day, such as 22:00-06:00")
    return undefined
  }
  return {
    opens: Cron.parseUnsafe(`${fromMinute} ${fromHour} * * *`, zone),
    closes: Cron.parseUnsafe(`${toMinute} ${toHour} * * *`, zone)
  }
}

const hasTime = (cron: Cron.Cron): boolean => {
  try {
    Cron.next(cron, new Date(0))
    return true
  } catch {
    return false
  }
}

/**
 * Times of a cron expression that are compared to find its longest wait: enough for every hour of four days.
 */
const cronTimes = 100

/** Returns the maximum time from the end of one sweep to the beginning of the next. */
const longestWait = ({ jitter, window }: Values, when: When): Duration.Duration => {
  // A sweep that is due waits for the window for less than a day.
  const later = Duration.sum(jitter, window === null ? Duration.zero : Duration.days(1))
  if (when._tag === "interval") return Duration.sum(when.interval, later)
  let longest = 0
  if (hasTime(when.cron)) {
    let at = Cron.next(when.cron, new Date(0))
    for (let n = 0; n < cronTimes; n++) {
      const next = Cron.next(when.cron, at)
      longest = Math.max(longest, next.getTime() - at.getTime())
      at = next
    }
  }
  return Duration.sum(Duration.millis(longest), later)
}

const presenceMin = Duration.minutes(10)

/**
 * Returns GC_PRESENCE, or what follows from the schedule without it. Adds a line to `problems` if collectors would
 * forget each other between two sweeps.
 */
export const presenceOf = (values: Values, when: When, problems: Array<string>): Duration.Duration => {
  const wait = longestWait(values, when)
  // Twice the longest sweep, because the bound never ends a sweep in the middle of a batch.
  if (values.presence === null) {
    return Duration.max(Duration.sum(wait, Duration.times(values.maxDuration, 2)), presenceMin)
  }
  if (Duration.isLessThan(values.presence, Duration.sum(wait, values.maxDuration))) {
    problems.push(
      "GC_PRESENCE: must not be less than the time from one sweep to the next (GC_INTERVAL or GC_CRON, GC_JITTER, GC_SWEEP_MAX_DURATION), or collectors would forget each other"
    )
  }
  return values.presence
}
