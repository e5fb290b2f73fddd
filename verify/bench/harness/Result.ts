/** A result: figures with the ratios between variants, the machine and the commit. */
import type { Answer, Figure, Question, Series } from "./Question.ts"

/** Describes the machine. It contains no names and no paths, so a result can be published. */
export interface Machine {
  readonly commit: string
  readonly node: string
  /** The value of NODE_OPTIONS, which also applies to variants. */
  readonly nodeOptions: string
  readonly postgres: string
  readonly s3: string
  readonly cores: number
  /** Load average of the minute before the run. */
  readonly loadBefore: number
  readonly startedAt: string
}

/** Summarises the runs of a variant. */
export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly runs: ReadonlyArray<number>
}

/** A figure with its summaries. */
export interface FigureResult {
  readonly name: string
  readonly unit: string
  readonly limit: number | null
  readonly atLeast: number | null
  readonly measured: Summary
  readonly floor: Summary | null
  readonly baseline: Summary | null
  /** Ratios within each run. Load that changes between runs affects both sides of a ratio. */
  readonly ratioToFloor: Summary | null
  readonly ratioToBaseline: Summary | null
}

/** The result of a question. */
export interface Result extends Machine {
  readonly question: string
  readonly command: string
  readonly parameters: Readonly<Record<string, number>>
  readonly verified: ReadonlyArray<string>
  readonly figures: ReadonlyArray<FigureResult>
  readonly series: ReadonlyArray<Series>
  /** Sentences about figures that exceed a maximum or miss a minimum. */
  readonly overLimit: ReadonlyArray<string>
}

const round = (value: number): number => Number(value.toPrecision(5))

const summary = (runs: ReadonlyArray<number>): Summary => {
  const sorted = runs.toSorted((a, b) => a - b)
  const at = (index: number) => sorted[index] ?? Number.NaN
  const median = (at(Math.floor((runs.length - 1) / 2)) + at(Math.ceil((runs.length - 1) / 2))) / 2
  return { median: round(median), min: round(at(0)), max: round(at(runs.length - 1)), runs: runs.map(round) }
}

const compare = (measured: ReadonlyArray<number>, other: ReadonlyArray<number> | undefined) =>
  other === undefined
    ? { of: null, ratio: null }
    : {
        of: summary(other),
        ratio: summary(measured.map((value, run) => value / (other[run] ?? Number.NaN)))
      }

const figureOf = ({ name, unit, measured, floor, baseline, limit, atLeast }: Figure): FigureResult => {
  const toFloor = compare(measured, floor)
  const toBaseline = compare(measured, baseline)
  return {
    name,
    unit,
    limit: limit ?? null,
    atLeast: atLeast ?? null,
    measured: summary(measured),
    floor: toFloor.of,
    baseline: toBaseline.of,
    ratioToFloor: toFloor.ratio,
    ratioToBaseline: toBaseline.ratio
  }
}

/** Number of points that a line of the picture's width can show. */
const pointsMax = 200

/** Keeps the highest point of each stretch, since questions ask about peaks. */
const thinned = (series: Series): Series => {
  const { points } = series
  const stretch = Math.ceil(points.length / pointsMax)
  const highest = Array.from({ length: Math.ceil(points.length / stretch) }, (_, n) =>
    points.slice(n * stretch, (n + 1) * stretch).reduce((a, b) => (b[1] > a[1] ? b : a))
  )
  return { ...series, points: highest.map(([x, y]) => [round(x), round(y)] as const) }
}

/** Makes the result of a question. */
export const of = (
  question: Question,
  answer: Answer,
  machine: Machine,
  args: ReadonlyArray<string>
): Result => {
  const figures = answer.figures.map(figureOf)
  return {
    question: question.name,
    command: `npm run bench -- ${args.filter((arg, n) => !["--json", "--keep"].includes(arg) && args[n - 1] !== "--keep").join(" ")}`,
    ...machine,
    parameters: answer.parameters,
    verified: answer.verified,
    figures,
    series: (answer.series ?? []).map(thinned),
    overLimit: figures.flatMap(missed)
  }
}

const missed = ({ name, unit, measured, limit, atLeast }: FigureResult): ReadonlyArray<string> => {
  const of = (value: number) => `${value} ${unit}`.trimEnd()
  return [
    ...(limit !== null && measured.max > limit
      ? [`${name}: ${of(measured.max)}, more than the maximum of ${of(limit)}`]
      : []),
    ...(atLeast !== null && measured.min < atLeast
      ? [`${name}: ${of(measured.min)}, less than the minimum of ${of(atLeast)}`]
      : [])
  ]
}
