/** Numbers as text for people. */
import { Duration } from "effect"

/** Returns a number with its thousands grouped. */
export const count = (n: number): string => n.toLocaleString("en-US")

/** Returns a number of things. The plural must end in s. */
export const many = (n: number, thing: string): string => `${count(n)} ${thing}${n === 1 ? "" : "s"}`

const units = ["B", "KB", "MB", "GB", "TB", "PB"] as const

/** Returns a size in decimal units, as stores bill it. */
export const bytes = (n: number): string => {
  let value = n
  let unit = 0
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/** Returns a time span: below a minute to a tenth of a second, above in two units. */
export const span = (millis: number): string => {
  if (millis < 59_950) return `${(millis / 1000).toFixed(1)} s`
  const parts = Duration.parts(Duration.millis(Math.round(millis / 1000) * 1000))
  const named = [
    [parts.days, "d"],
    [parts.hours, "h"],
    [parts.minutes, "min"],
    [parts.seconds, "s"]
  ] as const
  const from = named.findIndex(([value]) => value > 0)
  return named
    .slice(from, from + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(" ")
}
