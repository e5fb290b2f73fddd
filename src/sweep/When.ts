/** When sweeps are due: every so often, or at the times of a cron expression. */
import { Cron, DateTime, Duration, Option, Result } from "effect"
import type * as Window from "./Window.ts"

/**
 * When to sweep.
 *
 * - `interval`: at once, then this long after the previous sweep ended
 * - `cron`: at the times of the expression, in its time zone. Times that fall inside a running sweep are skipped.
 */
export type When =
  | { readonly _tag: "interval"; readonly interval: Duration.Duration }
  | { readonly _tag: "cron"; readonly cron: Cron.Cron }

/** Returns the time zone of this name, or says that there is none. */
export const zoneOf = (name: string): Result.Result<DateTime.TimeZone, string> =>
  Result.fromOption(DateTime.zoneMakeNamed(name), () => "not an IANA time zone (such as Europe/Berlin)")

/** Reads a cron expression of five or six fields, or says why it cannot be used. A `Cron` value is taken as it is. */
export const cronOf = (
  expression: string | Cron.Cron,
  zone: DateTime.TimeZone | undefined
): Result.Result<Cron.Cron, string> => {
  const parsed = Cron.isCron(expression) ? Result.succeed(expression) : parse(expression, zone)
  if (Result.isFailure(parsed)) {
    return Result.fail(`${parsed.failure.message} (expected a cron expression such as "30 2 * * *")`)
  }
  return hasTime(parsed.success)
    ? Result.succeed(parsed.success)
    : Result.fail("no day matches it (for example the 31st of February)")
}

const hoursOfDay = 24

/**
 * Parses an expression. If it matches every hour, it also matches the hour that clocks repeat in autumn.
 *
 * `Cron` of effect takes each time of the wall clock once by default (`onDstOverlap: "earlier"`). That is right for
 * 02:30 daily, and lets an hourly schedule pause for two hours: at 02:00 the second time nothing is due. Unix cron
 * draws the same line: jobs of every hour follow the time that passes, and all others the wall clock.
 */
const parse = (expression: string, zone: DateTime.TimeZone | undefined) =>
  Result.flatMap(Cron.parse(expression, zone), (cron) =>
    cron.hours.size === 0 || cron.hours.size === hoursOfDay
      ? Cron.parse(expression, zone, { onDstOverlap: "both" })
      : Result.succeed(cron)
  )

const hasTime = (cron: Cron.Cron): boolean => {
  try {
    Cron.next(cron, new Date(0))
    return true
  } catch {
    return false
  }
}

/** Returns when the next sweep is due that begins after `now`, without jitter. `isFirst`: none ran before. */
export const dueAfter = (when: When, now: number, isFirst = false): number => {
  if (when._tag === "cron") return Cron.next(when.cron, new Date(now)).getTime()
  return isFirst ? now : now + Duration.toMillis(when.interval)
}

/** Times of a cron expression that are compared to find its longest wait: enough for every hour of four days. */
const cronTimes = 100

/** By how much a night in which clocks are set back is longer than others. */
const repeatedHour = Duration.hours(1)

/** Returns the maximum time from the end of one sweep to the beginning of the next. */
export const longestWait = (
  when: When,
  jitter: Duration.Duration,
  window: Window.Window | undefined
): Duration.Duration => {
  // A sweep that is due waits for the window for less than a day.
  const later = Duration.sum(jitter, window === undefined ? Duration.zero : Duration.days(1))
  if (when._tag === "interval") return Duration.sum(when.interval, later)
  let longest = 0
  let at = Cron.next(when.cron, new Date(0))
  for (let n = 0; n < cronTimes; n++) {
    const next = Cron.next(when.cron, at)
    longest = Math.max(longest, next.getTime() - at.getTime())
    at = next
  }
  const repeated = isUtc(when.cron) ? Duration.zero : repeatedHour
  return [Duration.millis(longest), repeated, later].reduce(Duration.sum)
}

const isUtc = ({ tz }: Cron.Cron): boolean =>
  Option.exists(tz, (zone) => DateTime.isTimeZoneNamed(zone) && zone.id === "UTC")

const presenceMin = Duration.minutes(10)

/**
 * Returns how long a collector counts as at work that sweeps again within `wait` and sweeps for `maxDuration`. Twice the
 * longest sweep, because the bound never ends a sweep in the middle of a batch.
 */
export const presenceFor = (wait: Duration.Duration, maxDuration: Duration.Duration): Duration.Duration =>
  Duration.max(Duration.sum(wait, Duration.times(maxDuration, 2)), presenceMin)

/** Returns whether collectors with this presence would forget each other between two sweeps. */
export const forgets = (
  presence: Duration.Duration,
  wait: Duration.Duration,
  maxDuration: Duration.Duration
): boolean => Duration.isLessThan(presence, Duration.sum(wait, maxDuration))
