/** Results as data: what was measured, on what, from which commit; and where they are kept. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { availableParallelism, loadavg } from "node:os"
import * as Plot from "./Plot.ts"
import { connect } from "./Postgres.ts"
import type { Answer, Figure, Question, Series } from "./Question.ts"
import * as Report from "./Report.ts"
import * as Repository from "./Repository.ts"
import type { Servers } from "./Servers.ts"

const results = new URL("verify/bench/results/", Repository.root)
export const local = new URL("local/", results)

/** What it was measured on. No names and no paths: a result can be published. */
export interface Machine {
  readonly commit: string
  readonly node: string
  /** NODE_OPTIONS, under which contenders run too. */
  readonly nodeOptions: string
  readonly postgres: string
  readonly s3: string
  readonly cores: number
  /** Processes that wanted a core in the minute before, ours not among them. */
  readonly loadBefore: number
  readonly startedAt: string
}

export const machine = async (servers: Servers): Promise<Machine> => {
  const database = await connect(servers.databaseUrl)
  const setting = async (name: string) =>
    String((await database.query(`SELECT current_setting('${name}') AS value`))[0]?.value)
  const version = (await setting("server_version")).split(" ")[0]
  const fsync = await setting("fsync")
  const buffers = await setting("shared_buffers")
  await database.close()
  return {
    commit: Repository.commit(),
    node: process.versions.node,
    nodeOptions: process.env.NODE_OPTIONS ?? "",
    postgres: `${version}, fsync ${fsync}, shared_buffers ${buffers}`,
    s3: servers.s3.server,
    cores: availableParallelism(),
    loadBefore: loadavg()[0] ?? Number.NaN,
    startedAt: new Date().toISOString()
  }
}

export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly runs: ReadonlyArray<number>
}

export interface FigureResult {
  readonly name: string
  readonly unit: string
  readonly limit: number | null
  readonly atLeast: number | null
  readonly measured: Summary
  readonly floor: Summary | null
  readonly baseline: Summary | null
  /** Of the same run: load that comes and goes between runs is in both. */
  readonly ratioToFloor: Summary | null
  readonly ratioToBaseline: Summary | null
}

export interface Result extends Machine {
  readonly question: string
  readonly command: string
  readonly parameters: Readonly<Record<string, number>>
  readonly verified: ReadonlyArray<string>
  readonly figures: ReadonlyArray<FigureResult>
  readonly series: ReadonlyArray<Series>
  /** What is more than it may be, or less, in sentences. */
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

/** As many points as a line of that width shows. */
const pointsMax = 200

/** Of each stretch its highest point, since peaks are what is asked about. */
const thinned = (series: Series): Series => {
  const { points } = series
  const stretch = Math.ceil(points.length / pointsMax)
  const highest = Array.from({ length: Math.ceil(points.length / stretch) }, (_, n) =>
    points.slice(n * stretch, (n + 1) * stretch).reduce((a, b) => (b[1] > a[1] ? b : a))
  )
  return { ...series, points: highest.map(([x, y]) => [round(x), round(y)] as const) }
}

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
      ? [`${name}: ${of(measured.max)}, more than the ${of(limit)} it may be`]
      : []),
    ...(atLeast !== null && measured.min < atLeast
      ? [`${name}: ${of(measured.min)}, less than the ${of(atLeast)} it has to be`]
      : [])
  ]
}

/**
 * Writes the result below verify/bench/results/ and answers where. With a name it is kept for good, and the report of all that
 * were kept is written anew.
 */
export const keep = (result: Result, name: string | null): string => {
  mkdirSync(local, { recursive: true })
  const stamp = result.startedAt.replace(/[:.]/g, "-")
  const file = name === null ? `local/${result.question}-${stamp}.json` : `${name}.json`
  writeFileSync(new URL(file, results), `${JSON.stringify(result, null, 2)}\n`)
  if (name !== null) writeReport()
  return `verify/bench/results/${file}`
}

const writeReport = () => {
  const kept = readdirSync(results)
    .filter((file) => file.endsWith(".json"))
    .sort()
    .map((file) => ({
      name: file.replace(/\.json$/, ""),
      result: JSON.parse(readFileSync(new URL(file, results), "utf8")) as Result
    }))
  for (const { name, result } of kept) {
    writeFileSync(new URL(`${name}.svg`, results), Plot.svg(result))
  }
  writeFileSync(new URL("README.md", results), Report.all(kept))
}
