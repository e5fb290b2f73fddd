/** Durations in the short form in which the program prints them: `90s`, `1h 30m`, `7d`. */
import { Duration } from "effect"

const units: Readonly<Record<string, Duration.Duration>> = {
  w: Duration.weeks(1),
  d: Duration.days(1),
  h: Duration.hours(1),
  m: Duration.minutes(1),
  s: Duration.seconds(1),
  ms: Duration.millis(1),
  us: Duration.micros(1n),
  ns: Duration.nanos(1n)
}

/** Reads the short form, also what `Duration.format` writes. Returns null for any other text. */
export const shortDuration = (text: string): Duration.Duration | null => {
  if (text === "0") return Duration.zero
  if (!/^\d+(w|d|h|m|s|ms|us|ns)( ?\d+(w|d|h|m|s|ms|us|ns))*$/.test(text)) return null
  return [...text.matchAll(/(\d+)([a-z]+)/g)]
    .map(([, count, unit = ""]) => Duration.times(units[unit] ?? Duration.zero, Number(count)))
    .reduce(Duration.sum)
}

/** Returns a short form as a text that effect reads, and any other text as it is. A bare number stays: it has no unit. */
export const spelledOut = (text: string): string => {
  const short = text === "0" ? null : shortDuration(text.trim())
  return short === null ? text : `${Duration.toMillis(short)} millis`
}
