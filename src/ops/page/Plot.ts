/**
 * Plots as SVG, drawn by the server: no script, no measured text. Heights are pixels and horizontal places are percent,
 * so that a plot fits a phone and its text keeps its size. The labels of the vertical axis are in the padding, left of zero.
 *
 * To a screen reader a plot is one image with a name and a sentence. A table below it has the numbers.
 */
import { labelOf, type Measure, type Tick, timeTicks, valueTicks } from "./Axis.ts"
import { type Html, html, nothing } from "./Html.ts"

/** One row of numbers over time. */
export interface Series {
  readonly name: string
  /** One a bar. Null where there is none. */
  readonly values: ReadonlyArray<number | null>
}

/** What is drawn. */
export interface PlotOptions {
  /** Unique on the page, for the labels. */
  readonly id: string
  /** What it shows, as in `Space reclaimed`. */
  readonly title: string
  /** The unit of the values in words, as in `per hour`. */
  readonly unit: string
  /** The numbers in a sentence, for readers who do not see the plot. */
  readonly summary: string
  /** What the vertical axis measures. */
  readonly measure: Measure
  /** Bars for sums of a time span, lines for what there is at its end. */
  readonly kind: "bars" | "lines"
  /** The beginning of the first bar. */
  readonly from: number
  /** The end of the last bar. */
  readonly to: number
  /** At most three. */
  readonly series: ReadonlyArray<Series>
  /** Whether a bar is drawn as one of failures, by place. */
  readonly marked?: ReadonlyArray<boolean>
}

const top = 10
const height = 130
const bottom = top + height

const percent = (share: number): string => `${Number((100 * share).toFixed(3))}%`

const rounded = (n: number): number => Number(n.toFixed(2))

/** Returns a plot as a figure's content. */
export const plot = (options: PlotOptions): Html => {
  const { from, id, measure, series, summary, title, to, unit } = options
  const most = Math.max(0, ...series.flatMap(({ values }) => values.flatMap((value) => value ?? [])))
  const ticks = valueTicks(measure, most)
  const limit = ticks.at(-1)?.at ?? 1
  const y = (value: number) => rounded(bottom - (height * Math.min(Math.max(value, 0), limit)) / limit)
  return html`<svg class="plot" role="img" aria-labelledby="${id}-title ${id}-text" width="100%" height="${bottom + 22}">
<title id="${id}-title">${title}, ${unit}</title><desc id="${id}-text">${summary}</desc>
<g class="grid" aria-hidden="true">${ticks.map(({ at, label }) => valueTick(y(at), label))}</g>
<g aria-hidden="true">${timeTicks(from, to).map((tick, n) => timeTick(tick, (tick.at - from) / (to - from), n % 2 === 1))}
${options.kind === "bars" ? bars(options, y) : lines(options, y)}</g></svg>`
}

const valueTick = (y: number, label: string): Html =>
  html`<line x1="0" x2="100%" y1="${y}" y2="${y}"/><text x="-8" y="${y + 4}" text-anchor="end">${label}</text>`

/** A phone shows every second label. */
const timeTick = ({ label }: Tick, share: number, isOdd: boolean): Html => {
  const anchor = share < 0.06 ? "start" : share > 0.94 ? "end" : "middle"
  return html`<line class="tick" x1="${percent(share)}" x2="${percent(share)}" y1="${bottom}" y2="${bottom + 4}"/><text class="${isOdd ? "odd" : "even"}" x="${percent(share)}" y="${bottom + 18}" text-anchor="${anchor}">${label}</text>`
}

const bars = ({ marked = [], measure, series }: PlotOptions, y: (value: number) => number): Html => {
  const [{ values } = { values: [] }] = series
  const width = 1 / values.length
  return html`${values.map((value, n) => {
    if (value === null || (value === 0 && marked[n] !== true)) return null
    // The smallest value is still seen.
    const topOf = value === 0 ? bottom - 3 : Math.min(y(value), bottom - 1.5)
    return html`<rect class="${marked[n] === true ? "bar failed" : "bar"}" x="${percent((n + 0.12) * width)}" width="${percent(0.76 * width)}" y="${rounded(topOf)}" height="${rounded(bottom - topOf)}"><title>${labelOf(measure, value)}</title></rect>`
  })}`
}

/** Spans of time without a sweep do not cut a line. */
const known = (values: Series["values"]): ReadonlyArray<readonly [number, number]> =>
  values.flatMap((value, n) => (value === null ? [] : [[n, value] as const]))

/** The nested picture is stretched, its strokes are not. */
const lines = ({ series }: PlotOptions, y: (value: number) => number): Html => {
  const across = series[0]?.values.length ?? 0
  const x = (n: number) => rounded((100 * (n + 0.5)) / across)
  return html`<svg width="100%" height="${bottom + 22}" viewBox="0 0 100 ${bottom + 22}" preserveAspectRatio="none">${series.map(
    ({ values }, n) =>
      html`<polyline class="line s${n}" points="${known(values)
        .map(([at, value]) => `${x(at)},${y(value)}`)
        .join(" ")}"/>`
  )}</svg>${series.map(({ values }, n) => {
    const last = values.findLastIndex((value) => value !== null)
    return last < 0
      ? nothing
      : html`<circle class="dot s${n}" cx="${percent(x(last) / 100)}" cy="${y(values[last] ?? 0)}" r="3.5"/>`
  })}`
}

/** Returns what tells the series apart: a sample of each line, its name and its last value. */
export const legend = ({ measure, series }: Pick<PlotOptions, "measure" | "series">): Html =>
  html`<ul class="legend">${series.map(
    ({ name, values }, n) =>
      html`<li><svg width="22" height="8" aria-hidden="true"><line class="line s${n}" x1="0" x2="22" y1="4" y2="4"/></svg> ${name} <b>${labelOf(measure, values.findLast((value) => value !== null) ?? 0)}</b></li>`
  )}</ul>`
