/** Draws a result as SVG: each figure as bars with its own scale, and each series as a line. */
import type { Series } from "./Question.ts"
import { number } from "./Report.ts"
import type { FigureResult, Result } from "./Result.ts"

const width = 760
const left = 110
const right = 110
const barHeight = 16
const span = width - left - right

const colours = { measured: "#2563eb", floor: "#94a3b8", baseline: "#f59e0b", bound: "#dc2626" }
const lineColours = ["#2563eb", "#94a3b8", "#16a34a", "#f59e0b", "#7c3aed", "#dc2626"]

/** The SVG so far, and its lower edge. */
interface Drawn {
  readonly svg: ReadonlyArray<string>
  readonly bottom: number
}

const escape = (words: string) =>
  words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const text = (x: number, y: number, words: string, more = "") =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escape(words)}</text>`

const line = (x1: number, y1: number, x2: number, y2: number, more: string) =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" ${more}/>`

/** Draws a result. */
export const svg = (result: Result): string => {
  const title = text(12, 24, `${result.question}: ${result.command}`, 'font-weight="bold"')
  const start: Drawn = { svg: [title], bottom: 40 }
  const figures = result.figures.reduce((drawn, figure) => bars(drawn, result.question, figure), start)
  const all = (result.series ?? []).length === 0 ? figures : lines(figures, result.series)
  const height = Math.ceil(all.bottom + 12)
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#0f172a">
<rect width="100%" height="100%" fill="#ffffff"/>
${all.svg.join("\n")}
</svg>
`
}

/** Draws medians as bars, the range of the runs as whiskers, and bounds as lines. */
const bars = ({ svg, bottom }: Drawn, question: string, figure: FigureResult): Drawn => {
  const { name, unit, measured, floor, baseline, limit, atLeast } = figure
  const rows = [
    { label: question, summary: measured, colour: colours.measured },
    { label: "floor", summary: floor, colour: colours.floor },
    { label: "baseline", summary: baseline, colour: colours.baseline }
  ].flatMap(({ summary, ...rest }) => (summary === null ? [] : [{ ...rest, summary }]))
  const most = Math.max(limit ?? 0, atLeast ?? 0, ...rows.map(({ summary }) => summary.max))
  const at = (value: number) => left + (span * value) / most
  const top = bottom + 20
  const drawn = rows.flatMap(({ label, summary, colour }, index) => {
    const y = top + 8 + index * (barHeight + 4)
    const middle = y + barHeight / 2
    const whisker =
      summary.runs.length === 1
        ? []
        : [line(at(summary.min), middle, at(summary.max), middle, 'stroke="#0f172a" stroke-width="1.5"')]
    return [
      text(left - 8, middle + 4, label, 'text-anchor="end"'),
      `<rect x="${left}" y="${y}" width="${(at(summary.median) - left).toFixed(1)}" height="${barHeight}" fill="${colour}"/>`,
      ...whisker,
      text(at(summary.max) + 6, middle + 4, number(summary.median))
    ]
  })
  const end = top + 8 + rows.length * (barHeight + 4)
  const boundLine = (value: number | null, words: string) =>
    value === null
      ? []
      : [
          line(at(value), top + 4, at(value), end, `stroke="${colours.bound}" stroke-dasharray="4 3"`),
          text(at(value), top, `${words} ${number(value)}`, `fill="${colours.bound}" text-anchor="end"`)
        ]
  const head = text(12, top, `${name}${unit === "" ? "" : `, ${unit}`}`)
  return {
    svg: [...svg, head, ...drawn, ...boundLine(limit, "at most"), ...boundLine(atLeast, "at least")],
    bottom: end
  }
}

const chartHeight = 220

/** Draws all series on the axes of the first. */
const lines = ({ svg, bottom }: Drawn, series: ReadonlyArray<Series>): Drawn => {
  const top = bottom + 36
  const floor = top + chartHeight
  const points = series.flatMap((one) => one.points)
  const most = (axis: 0 | 1) => Math.max(...points.map((point) => point[axis]))
  const [xMax, yMax] = [most(0), most(1)]
  const x = (value: number) => left + (span * value) / xMax
  const y = (value: number) => floor - (chartHeight * value) / yMax
  const quarters = [0, 0.25, 0.5, 0.75, 1]
  const grid = quarters.flatMap((share) => [
    line(left, y(share * yMax), left + span, y(share * yMax), 'stroke="#e2e8f0"'),
    text(left - 8, y(share * yMax) + 4, number(share * yMax), 'text-anchor="end"'),
    text(x(share * xMax), floor + 18, number(share * xMax), 'text-anchor="middle"')
  ])
  const drawn = series.flatMap(({ name, points: own }, index) => {
    const colour = lineColours[index % lineColours.length]
    const path = own.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ")
    const legend = floor + 56 + 18 * index
    return [
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.8"/>`,
      line(left, legend - 4, left + 24, legend - 4, `stroke="${colour}" stroke-width="3"`),
      text(left + 32, legend, name)
    ]
  })
  const axes = [
    text(12, top - 14, series[0]?.y ?? ""),
    text(left + span, floor + 34, series[0]?.x ?? "", 'text-anchor="end"')
  ]
  return { svg: [...svg, ...axes, ...grid, ...drawn], bottom: floor + 56 + 18 * series.length }
}
