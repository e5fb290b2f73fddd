/** Scales of plots: where ticks are, and what they say. */
import { bytes, count } from "../../domain/Units.ts"

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** What an axis measures. */
export type Measure = "bytes" | "count" | "duration"

/** A tick of an axis. */
export interface Tick {
  readonly at: number
  readonly label: string
}

const durations = [
  ...[0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30].map((n) => n * second),
  ...[1, 2, 5, 10, 20, 30].map((n) => n * minute),
  ...[1, 2, 3, 6, 12, 24, 48].map((n) => n * hour)
]

/** Returns 1, 2 or 5 times a power of ten, `least` or more. */
const roundStep = (least: number): number => {
  const power = 10 ** Math.floor(Math.log10(least))
  return ([1, 2, 5].find((n) => n * power >= least) ?? 10) * power
}

const stepOf = (measure: Measure, most: number): number => {
  const least = most / 4
  switch (measure) {
    case "duration":
      return durations.find((step) => step >= least) ?? day * roundStep(least / day)
    case "count":
      return Math.max(1, roundStep(least))
    case "bytes":
      return Math.max(1, roundStep(least))
  }
}

const durationLabel = (millis: number): string => {
  if (millis === 0) return "0"
  const [size, unit] =
    millis < minute
      ? [second, "s"]
      : millis < hour
        ? [minute, "min"]
        : millis < 2 * day
          ? [hour, "h"]
          : [day, "d"]
  return `${Number((millis / (size as number)).toFixed(1))} ${unit}`
}

const compactCount = (n: number): string =>
  n >= 1e9 ? `${n / 1e9} G` : n >= 1e6 ? `${n / 1e6} M` : n >= 1e4 ? `${n / 1e3} k` : count(n)

/** Returns a value in the shortest form, for a tick. */
export const labelOf = (measure: Measure, value: number): string => {
  switch (measure) {
    case "bytes":
      return value === 0 ? "0" : bytes(value).replace(".0 ", " ")
    case "count":
      return compactCount(value)
    case "duration":
      return durationLabel(value)
  }
}

/** Returns ticks from zero to `most` or beyond, with even steps that are easy to read. The last one ends the axis. */
export const valueTicks = (measure: Measure, most: number): ReadonlyArray<Tick> => {
  // Beyond, sums of steps are no numbers any more.
  const top = Number.isFinite(most) && most > 0 ? Math.min(most, 1e21) : 1
  const step = stepOf(measure, top)
  // The tolerance keeps 0.1 + 0.2 from adding a step.
  const steps = Math.max(1, Math.ceil(top / step - 1e-9))
  return Array.from({ length: steps + 1 }, (_, n) => ({ at: n * step, label: labelOf(measure, n * step) }))
}

const timeSteps = [
  ...[1, 5, 15, 30].map((n) => n * minute),
  ...[1, 3, 6, 12].map((n) => n * hour),
  ...[1, 2, 7, 14, 28].map((n) => n * day)
]

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/** Returns `30 Nov`, in UTC. */
export const dateLabel = (at: number): string => {
  const date = new Date(at)
  return `${date.getUTCDate()} ${months[date.getUTCMonth()]}`
}

/** Returns `06:05`, in UTC. */
export const clockLabel = (at: number): string => new Date(at).toISOString().slice(11, 16)

/** Returns up to six ticks between two instants, at even times of the day in UTC. */
export const timeTicks = (from: number, to: number): ReadonlyArray<Tick> => {
  const step =
    timeSteps.find((size) => (to - from) / size <= 5) ?? 28 * day * Math.ceil((to - from) / (112 * day))
  const label = step < day ? clockLabel : dateLabel
  const ticks: Array<Tick> = []
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const isMidnight = at % day === 0
    ticks.push({ at, label: isMidnight ? dateLabel(at) : label(at) })
  }
  return ticks
}

/** Widths of the bars of a plot. */
const widths = [
  ...[1, 5, 15, 30].map((n) => n * minute),
  ...[1, 3, 6, 12].map((n) => n * hour),
  ...[1, 2, 7, 28].map((n) => n * day)
]

/** Returns the width of bars by which at most 48 cover a span. */
export const barMillis = (span: number): number => widths.find((width) => span / width <= 48) ?? 28 * day

/** Returns a width of bars in words, as in `per hour`. */
export const perBar = (width: number): string => {
  const [size, unit] = width < hour ? [minute, "minute"] : width < day ? [hour, "hour"] : [day, "day"]
  const n = width / size
  return n === 1 ? `per ${unit}` : `per ${n} ${unit}s`
}
