/** The plots of the last weeks. */
import { bytes, count, many, span } from "../../domain/Units.ts"
import { perBar } from "./Axis.ts"
import type { PageFacts } from "./Facts.ts"
import { type Html, html, type Value } from "./Html.ts"
import { legend, type PlotOptions, plot } from "./Plot.ts"
import { table } from "./Table.ts"
import { type Bar, type Bars, barsOf, type LeftPoint } from "./Trend.ts"
import { moment, roughly, section } from "./Words.ts"

/** The section of plots, with their numbers in a table. */
export const trends = ({ status, trend }: PageFacts): Html => {
  if (trend.length === 0) {
    return section(
      "trend",
      "Trend",
      html`<p>No sweep has ended yet. Plots appear here after the first one.</p>`
    )
  }
  const bars = barsOf(trend, Date.parse(status.at))
  return section(
    "trend",
    `Trend of ${roughly(bars.to - bars.from)}`,
    html`<p class="soft small gap">${many(trend.length, "sweep")}. Times are UTC.</p>
<div class="figure-grid">${plotsOf(bars)}</div>${numbers(bars)}`
  )
}

const plotsOf = (bars: Bars): ReadonlyArray<Html> => {
  const { width } = bars
  const sum = (of: (bar: Bar) => number) => bars.bars.reduce((total, bar) => total + of(bar), 0)
  const longest = Math.max(0, ...bars.bars.map(({ durationMillis }) => durationMillis))
  const failed = sum((bar) => bar.failed)
  const freed = bytes(sum(({ reclaimedBytes }) => reclaimedBytes))
  const deleted = many(
    sum((bar) => bar.deleted),
    "object"
  )
  const left = bars.bars.findLast((bar) => bar.left !== null)?.left
  return [
    figureOf(bars, {
      ...summing("freed", "Space reclaimed", "bytes", bars, ({ reclaimedBytes }) => reclaimedBytes),
      total: `${freed} in all`,
      unit: perBar(width),
      summary: `${freed} in all. ${most(bars, ({ reclaimedBytes }) => reclaimedBytes, bytes)}`
    }),
    figureOf(bars, {
      ...summing("deleted", "Objects deleted", "count", bars, (bar) => bar.deleted),
      total: `${deleted} in all`,
      unit: perBar(width),
      summary: `${deleted} in all. ${most(bars, (bar) => bar.deleted, count)}`
    }),
    figureOf(bars, {
      ...summing("durations", "Longest sweep", "duration", bars, ({ durationMillis }) => durationMillis),
      marked: bars.bars.map((bar) => bar.failed > 0),
      total: `at most ${span(longest)}; red: a sweep failed or was refused`,
      unit: perBar(width),
      summary: `At most ${span(longest)}. ${failed === 0 ? "No sweep failed or was refused." : `${many(failed, "sweep")} failed or ${failed === 1 ? "was" : "were"} refused.`}`
    }),
    figureOf(bars, {
      id: "queues-trend",
      title: "Left for later sweeps",
      measure: "count",
      kind: "lines",
      series: [
        { name: "waiting", values: leftOf(bars, ({ waiting }) => waiting) },
        { name: "condemned", values: leftOf(bars, ({ condemned }) => condemned) },
        { name: "journaled", values: leftOf(bars, ({ journaled }) => journaled) }
      ],
      total: "blobs and keys after a sweep",
      unit: "after the last sweep of each bar",
      summary:
        left === undefined || left === null
          ? "No sweep could count them."
          : `After the last sweep: ${count(left.waiting)} waiting, ${count(left.condemned)} condemned, ${count(left.journaled)} journaled.`
    })
  ]
}

type Given = Omit<PlotOptions, "from" | "to"> & { readonly total: string }

const figureOf = ({ from, to }: Bars, { total, ...options }: Given): Html => {
  const { kind, title, unit } = options
  return html`<figure><figcaption><h3>${title}</h3><span class="total">${kind === "bars" ? `${unit}, ${total}` : total}</span></figcaption>
${plot({ ...options, from, to })}${kind === "lines" ? legend(options) : null}</figure>`
}

const summing = (
  id: string,
  title: string,
  measure: PlotOptions["measure"],
  { bars }: Bars,
  of: (bar: Bar) => number
) => ({ id, title, measure, kind: "bars" as const, series: [{ name: title, values: bars.map(of) }] })

const leftOf = ({ bars }: Bars, of: (left: LeftPoint) => number): ReadonlyArray<number | null> =>
  bars.map(({ left }) => (left === null ? null : of(left)))

const most = ({ bars }: Bars, of: (bar: Bar) => number, text: (n: number) => string): string => {
  const top = bars.reduce<Bar | null>(
    (found, bar) => (found === null || of(bar) > of(found) ? bar : found),
    null
  )
  return top === null || of(top) === 0
    ? ""
    : `The most is ${text(of(top))}, from ${new Date(top.from).toISOString().slice(0, 16).replace("T", " ")} UTC on.`
}

/** Bars with a sweep, the newest first. */
const numbers = ({ bars, width }: Bars): Html =>
  html`<details><summary>Show the numbers</summary>${table({
    caption: `Sweeps ${perBar(width)}, the newest first`,
    columns: [
      { name: "From (UTC)" },
      { name: "Sweeps", isNumber: true },
      { name: "Failed", isNumber: true },
      { name: "Deleted", isNumber: true },
      { name: "Reclaimed", isNumber: true },
      { name: "Longest", isNumber: true },
      { name: "Waiting", isNumber: true },
      { name: "Condemned", isNumber: true },
      { name: "Journaled", isNumber: true }
    ],
    rows: bars
      .filter(({ sweeps }) => sweeps > 0)
      .toReversed()
      .map(
        (bar): ReadonlyArray<Value> => [
          moment(bar.from),
          count(bar.sweeps),
          count(bar.failed),
          count(bar.deleted),
          bytes(bar.reclaimedBytes),
          span(bar.durationMillis),
          ...(bar.left === null
            ? ["–", "–", "–"]
            : [count(bar.left.waiting), count(bar.left.condemned), count(bar.left.journaled)])
        ]
      )
  })}</details>`
