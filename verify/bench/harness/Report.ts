/** Prints results as text and Markdown. */
import type { FigureResult, Result, Summary } from "./Result.ts"

/** Prints a number with three digits, or all digits from 1000 on. */
export const number = (value: number): string =>
  Number.isInteger(value) || value >= 1000
    ? Math.round(value).toLocaleString("en-US")
    : value >= 100
      ? value.toFixed(0)
      : value.toPrecision(3)

/** Prints the median and the range of the runs. */
const cell = (summary: Summary | null): string => {
  if (summary === null) return "–"
  const { median, min, max, runs } = summary
  return runs.length === 1 ? number(median) : `${number(median)} (${number(min)}–${number(max)})`
}

const boundsOf = ({ limit, atLeast }: FigureResult): string => {
  const bounds = [
    ...(atLeast === null ? [] : [`at least ${atLeast}`]),
    ...(limit === null ? [] : [`at most ${limit}`])
  ]
  return bounds.length === 0 ? "" : ` (${bounds.join(", ")})`
}

const row = (figure: FigureResult): ReadonlyArray<string> => [
  `${figure.name}${figure.unit === "" ? "" : `, ${figure.unit}`}${boundsOf(figure)}`,
  cell(figure.measured),
  cell(figure.floor),
  cell(figure.baseline),
  cell(figure.ratioToFloor),
  cell(figure.ratioToBaseline)
]

/** Prints a Markdown table, which can be copied into a README. */
const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: ReadonlyArray<string>) =>
    `| ${cells.map((text, column) => (column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0))).join(" | ")} |`
  const rule = `|${widths.map((width, column) => `${"-".repeat(width + 1)}${column === 0 ? "-" : ":"}`).join("|")}|`
  const [head, ...body] = rows.map(line)
  return [head, rule, ...body].join("\n")
}

const figures = ({ question, figures }: Result): string =>
  table([
    ["figure", question, "floor", "baseline", `${question}/floor`, `${question}/baseline`],
    ...figures.map(row)
  ])

const parametersOf = ({ parameters }: Result): string =>
  Object.entries(parameters)
    .map(([name, value]) => `${name} ${number(value)}`)
    .join(", ")

const machineOf = (result: Result): string =>
  `commit ${result.commit}, Node ${`${result.node} ${result.nodeOptions}`.trim()}, PostgreSQL ${result.postgres}, ${result.s3}, ${result.cores} cores, load before ${result.loadBefore.toFixed(1)}`

/** Prints a result for a terminal. */
export const text = (result: Result): string =>
  [
    "",
    result.command,
    `  ${parametersOf(result)}`,
    `  ${machineOf(result)}`,
    "",
    figures(result),
    "",
    ...result.verified.map((sentence) => `  ${sentence}`),
    ""
  ].join("\n")

/** Prints all kept results as Markdown, each with its picture. */
export const all = (kept: ReadonlyArray<{ readonly name: string; readonly result: Result }>): string =>
  [
    "# Results",
    "",
    "Written by `npm run bench -- <question> --keep <name>`. See ../README.md for what is measured and compared.",
    ...kept.flatMap(({ name, result }) => [
      "",
      `## ${name}`,
      "",
      "```sh",
      result.command,
      "```",
      "",
      figures(result),
      "",
      `![${name}](${name}.svg)`,
      "",
      `${result.startedAt.slice(0, 10)}: ${parametersOf(result)}; ${machineOf(result)}.`,
      "",
      ...result.verified.map((sentence) => `- ${sentence}`),
      ...result.overLimit.map((sentence) => `- **Missed:** ${sentence}.`)
    ]),
    ""
  ].join("\n")
