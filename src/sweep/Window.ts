/** The hours of the day in which sweeps may run, so that busy hours are spared. */
import { Cron } from "effect"

/**
 * From one time of the day to another, by two daily cron expressions, which know what the clocks of a time zone do; over
 * midnight when it closes earlier than it opens.
 */
export interface Window {
  readonly opens: Cron.Cron
  readonly closes: Cron.Cron
}

const nextAt = (cron: Cron.Cron, now: number): number => Cron.next(cron, new Date(now)).getTime()

/** When it closes, if it is open at `now`; null when it is shut. Shut is the instant at which it closes. */
export const closesAt = ({ opens, closes }: Window, now: number): number | null => {
  const closing = nextAt(closes, now)
  return closing <= nextAt(opens, now) ? closing : null
}

/** How many milliseconds after `now` it opens; 0 when it is open. */
export const opensIn = (window: Window, now: number): number =>
  closesAt(window, now) === null ? nextAt(window.opens, now) - now : 0
