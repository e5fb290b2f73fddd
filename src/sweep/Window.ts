/** The hours of the day in which sweeps may run. */
import { Cron, type DateTime, Result } from "effect"

/**
 * From one time of the day to another, as two daily cron expressions, which follow the clocks of a time zone.
 * Passes midnight if it closes earlier than it opens.
 */
export interface Window {
  /** When it opens, every day. */
  readonly opens: Cron.Cron
  /** When it closes, every day. */
  readonly closes: Cron.Cron
}

/** Reads hours such as `22:00-06:00`, or says why they cannot be used. */
export const parse = (hours: string, zone: DateTime.TimeZone | undefined): Result.Result<Window, string> => {
  const times = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(hours)
  const [, fromHour, fromMinute, toHour, toMinute] = times ?? []
  // Two equal times could mean never or always.
  if (times === null || (fromHour === toHour && fromMinute === toMinute)) {
    return Result.fail("write two different times of the day, such as 22:00-06:00")
  }
  return Result.succeed({
    opens: Cron.parseUnsafe(`${fromMinute} ${fromHour} * * *`, zone),
    closes: Cron.parseUnsafe(`${toMinute} ${toHour} * * *`, zone)
  })
}

const nextAt = (cron: Cron.Cron, now: number): number => Cron.next(cron, new Date(now)).getTime()

/** Returns when it closes, if it is open at `now`, or null. It is shut at the instant at which it closes. */
export const closesAt = ({ opens, closes }: Window, now: number): number | null => {
  const closing = nextAt(closes, now)
  return closing <= nextAt(opens, now) ? closing : null
}

/** Returns how many milliseconds after `now` it opens: 0 if it is open. */
export const opensIn = (window: Window, now: number): number =>
  closesAt(window, now) === null ? nextAt(window.opens, now) - now : 0
