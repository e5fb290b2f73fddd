/** Results as data: what was measured, on what, from which commit; and where they are kept. */
import { mkdirSync, writeFileSync } from "node:fs"
import { availableParallelism, loadavg } from "node:os"
import { connect } from "./Postgres.ts"
import type { Answer, Figure, Question } from "./Question.ts"
import * as Repository from "./Repository.ts"
import type { Servers } from "./Servers.ts"

const results = new URL("bench/results/", Repository.root)
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

export const of = (
  question: Question,
  answer: Answer,
  machine: Machine,
  args: ReadonlyArray<string>
): Result => {
  const figures = answer.figures.map(figureOf)
  return {
    question: question.name,
    command: `npm run bench -- ${args.filter((arg) => !["--json", "--reference"].includes(arg)).join(" ")}`,
    ...machine,
    parameters: answer.parameters,
    verified: answer.verified,
    figures,
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

/** Writes the result below bench/results/ and answers where. */
export const keep = (result: Result, { reference }: { readonly reference: boolean }): string => {
  mkdirSync(local, { recursive: true })
  const stamp = result.startedAt.replace(/[:.]/g, "-")
  const name = reference ? `${result.question}.json` : `local/${result.question}-${stamp}.json`
  writeFileSync(new URL(name, results), `${JSON.stringify(result, null, 2)}\n`)
  return `bench/results/${name}`
}
