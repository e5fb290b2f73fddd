/**
 * The parts of the documentation that are made from the code: the tables of settings, exit codes and metrics. Takes
 * the code's own tables, so that a test can compare the documents with the sources without a build.
 */
import { Schema } from "effect"
import type { Declaration } from "../src/domain/DeclaredMetric.ts"
import type { Setting } from "../src/domain/Setting.ts"
import type { HelpDocs } from "./HelpDocs.ts"

/** What a setting's row shows. */
export type SettingRow = Omit<Setting<unknown>, "config">

/** Settings by heading. Within a heading, the names are not used. */
export type Sections = Readonly<Record<string, Readonly<Record<string, SettingRow>>>>

export interface Tables {
  readonly sections: Sections
  readonly exitCodes: ReadonlyArray<readonly [code: number, meaning: string]>
  /** Metrics by heading. */
  readonly metrics: Readonly<Record<string, ReadonlyArray<Omit<Declaration, "series">>>>
  /** What `status --json` prints. */
  readonly status: Schema.Top
  readonly help: HelpDocs
  /** The page of `man`. */
  readonly man: string
}

const cell = (text: string): string => text.replaceAll("|", "\\|")

const defaultCell = (setting: SettingRow): string =>
  setting.default === null ? "" : `\`${setting.default}\``

const settingRow = (setting: SettingRow): string => {
  const limits = [
    ...(setting.tooLow === undefined ? [] : [`Too low: ${setting.tooLow}`]),
    ...(setting.tooHigh === undefined ? [] : [`Too high: ${setting.tooHigh}`])
  ].join(" ")
  const about = setting.secret
    ? `${setting.about} Secret: never printed, environment only, or in the file that \`${setting.env}_FILE\` names.`
    : setting.about
  const cells = [`\`${setting.env}\``, cell(setting.form), defaultCell(setting), cell(about), cell(limits)]
  return `| ${cells.join(" | ")} |`
}

/** Returns a table of every setting, under its heading. */
const settingsTable = (sections: Sections): string =>
  Object.entries(sections)
    .map(([heading, section]) =>
      [
        `### ${heading}`,
        "",
        "| variable | form | default | what it does, and why the default | what goes wrong |",
        "|---|---|---|---|---|",
        ...Object.values(section).map(settingRow)
      ].join("\n")
    )
    .join("\n\n")

/** The settings that most operators set, for the README. */
const common = [
  "DATABASE_URL",
  "S3_BUCKET",
  "S3_ENDPOINT",
  "S3_ACCESS_KEY_ID",
  "S3_SECRET_ACCESS_KEY",
  "GC_INTERVAL",
  "GC_CRON",
  "GC_GRACE",
  "GC_QUARANTINE",
  "GC_UNTAGGED_GRACE",
  "GC_UPLOAD_GRACE",
  "GC_SWEEP_MAX_DELETES",
  "SERVE_HOST",
  "SERVE_PORT",
  "REGISTRY_USERNAME",
  "REGISTRY_PASSWORD",
  "REGISTRY_TOKEN"
]

const commonTable = (sections: Sections): string => {
  const all = Object.values(sections).flatMap((section) => Object.values(section))
  const rows = common.flatMap((env) => all.filter((setting) => setting.env === env))
  return [
    "| variable | default | what it does |",
    "|---|---|---|",
    ...rows.map((setting) => `| \`${setting.env}\` | ${defaultCell(setting)} | ${cell(setting.about)} |`)
  ].join("\n")
}

const exitCodeTable = (exitCodes: Tables["exitCodes"]): string =>
  [
    "| code | meaning |",
    "|---|---|",
    ...exitCodes.map(([code, meaning]) => `| ${code} | ${cell(meaning)} |`)
  ].join("\n")

const commandTable = ({ program }: HelpDocs): string =>
  [
    "| | command | what it does |",
    "|---|---|---|",
    ...(program.subcommands ?? []).flatMap(({ commands, group }) =>
      commands.map(
        ({ description, name, shortDescription }, index) =>
          `| ${index === 0 ? (group ?? "") : ""} | \`${name}\` | ${cell(shortDescription ?? description)} |`
      )
    )
  ].join("\n")

const labelCell = (labels: Declaration["labels"]): string =>
  Object.entries(labels)
    .map(([name, values]) =>
      typeof values === "string"
        ? `\`${name}\`: ${values}`
        : `\`${name}\`: ${values.map((value) => `\`${value}\``).join(", ")}`
    )
    .join("<br>")

/** Returns a table of every metric, under its heading. */
const metricsTable = (metrics: Tables["metrics"]): string =>
  Object.entries(metrics)
    .map(([heading, declarations]) =>
      [
        `### ${heading}`,
        "",
        "| name | type | unit | labels | what it shows | what to look at |",
        "|---|---|---|---|---|---|",
        ...declarations.map(
          ({ help, labels, look, name, type, unit }) =>
            `| ${[`\`${name}\``, type, unit ?? "", labelCell(labels), help, look].map(cell).join(" | ")} |`
        )
      ].join("\n")
    )
    .join("\n\n")

/** Returns a schema as a JSON Schema of the draft 2020-12. */
const jsonSchemaOf = (schema: Schema.Top): string => {
  const { definitions, schema: root } = Schema.toJsonSchemaDocument(schema)
  const document = { $schema: "https://json-schema.org/draft/2020-12/schema", ...root, $defs: definitions }
  return `${JSON.stringify(document, null, 2)}\n`
}

const fill = (document: string, name: string, content: string): string => {
  const [begin, end] = [`<!-- generated: ${name} -->`, `<!-- end: ${name} -->`]
  const from = document.indexOf(begin)
  const to = document.indexOf(end)
  if (from === -1 || to === -1) throw new Error(`The markers of "${name}" are missing.`)
  return `${document.slice(0, from + begin.length)}\n\n${content}\n\n${document.slice(to)}`
}

/**
 * Returns, for each file with generated parts, a function from its text to the text that the code now
 * demands.
 */
export const documents = ({
  sections,
  exitCodes,
  metrics,
  status,
  help,
  man
}: Tables): Readonly<Record<string, (text: string) => string>> => ({
  "man/artifact-gc.1": () => man,
  "docs/command-line.md": (text) => fill(text, "commands", commandTable(help)),
  "docs/configuration.md": (text) => fill(text, "settings", settingsTable(sections)),
  "docs/status.schema.json": () => jsonSchemaOf(status),
  "docs/metrics.md": (text) => fill(text, "metrics", metricsTable(metrics)),
  "README.md": (text) =>
    fill(fill(text, "settings", commonTable(sections)), "exit codes", exitCodeTable(exitCodes))
})
