/** The text of `--help`: wrapped to the terminal, settings under their headings, commands in groups. */
import { Option } from "effect"
import type { HelpDoc } from "effect/cli"
import { wrapped } from "../Terminal.ts"
import { byFlag, firstSentence } from "./Forms.ts"

/** How help is shown. */
export interface Look {
  readonly width: number
  readonly isColored: boolean
}

/** A flag, an argument or a command, and what it is for. */
export interface Row {
  readonly name: string
  readonly about: string
}

const indent = 2

/** Names that are longer have their text below them. */
const nameMax = 26

const indented = (text: string, by: number, width: number): ReadonlyArray<string> =>
  wrapped(text, width - by).map((line) => `${" ".repeat(by)}${line}`)

const beside = ({ about, name }: Row, column: number, width: number): ReadonlyArray<string> => {
  const [first = "", ...more] = indented(about, column, width)
  return [`${" ".repeat(indent)}${name.padEnd(column - indent)}${first.slice(column)}`.trimEnd(), ...more]
}

/** Returns rows in two columns, or with the text below if a name is too long. */
const rowsOf = (rows: ReadonlyArray<Row>, { width }: Look): ReadonlyArray<string> => {
  const longest = Math.max(...rows.map(({ name }) => name.length))
  if (longest <= nameMax) return rows.flatMap((row) => beside(row, longest + 2 * indent, width))
  return rows.flatMap(({ about, name }) => [`${" ".repeat(indent)}${name}`, ...indented(about, 6, width)])
}

const section = (title: string, lines: ReadonlyArray<string>, look: Look): ReadonlyArray<string> =>
  lines.length === 0 ? [] : [look.isColored ? `\u001b[1m${title}\u001b[0m` : title, ...lines, ""]

/** The framework lists choices twice: in place of the value, and behind the description. */
const withoutChoices = (about: string): string => about.replace(/ \(choices: [^)]*\)$/, "")

/** Flags of the framework, in this program's words. */
const reworded: Readonly<Record<string, { readonly type: string; readonly about: string }>> = {
  help: { type: "boolean", about: "Show this help" },
  version: { type: "boolean", about: "Show the version" },
  "log-level": {
    type: "level",
    about: "Least level of the log: trace, debug, info, warn, error, fatal or none. Default: info"
  }
}

const typeOf = (type: string): string => (type === "boolean" ? "" : /^[<[]/.test(type) ? type : `<${type}>`)

/** Returns the row of a flag. */
export const flagRow = ({ aliases, description, name, type }: HelpDoc.FlagDoc): Row => {
  const words = reworded[name]
  const value = typeOf(words?.type ?? type)
  const joint = value === "" || value.startsWith("[") ? "" : " "
  return {
    name: [...aliases, `--${name}`].join(", ") + joint + value,
    about: words?.about ?? withoutChoices(Option.getOrElse(description, () => ""))
  }
}

/** Returns the row of an argument. */
export const argumentRow = ({ description, name, required, variadic }: HelpDoc.ArgDoc): Row => ({
  name: `${name}${variadic ? "..." : ""}`,
  about: `${Option.getOrElse(description, () => "")}${required ? "" : " (optional)"}`
})

/** Returns the flags that are no settings, and the settings under their headings. */
export const grouped = (
  flags: ReadonlyArray<HelpDoc.FlagDoc>
): ReadonlyMap<string | null, ReadonlyArray<HelpDoc.FlagDoc>> => {
  const groups = new Map<string | null, ReadonlyArray<HelpDoc.FlagDoc>>()
  for (const flag of flags) {
    const heading = byFlag.get(flag.name)?.heading ?? null
    groups.set(heading, [...(groups.get(heading) ?? []), flag])
  }
  return groups
}

const flagSections = ({ flags }: HelpDoc.HelpDoc, look: Look): ReadonlyArray<string> =>
  [...grouped(flags)].flatMap(([heading, some]) =>
    section(
      heading === null ? "FLAGS" : `SETTINGS: ${heading.toUpperCase()}`,
      rowsOf(some.map(flagRow), look),
      look
    )
  )

/** Returns the secrets that a command with these settings reads. */
const secretRows = (headings: ReadonlySet<string>): ReadonlyArray<Row> =>
  [...byFlag.values()].flatMap(({ heading, setting }) =>
    setting.secret && headings.has(heading)
      ? [{ name: setting.env, about: firstSentence(setting.about) }]
      : []
  )

const secretSection = ({ flags }: HelpDoc.HelpDoc, look: Look): ReadonlyArray<string> => {
  const headings = [...grouped(flags).keys()].filter((heading) => heading !== null)
  const rows = secretRows(new Set(headings))
  return section(
    "SECRETS: ENVIRONMENT ONLY, OR THE FILE THAT NAME_FILE NAMES",
    rows.length === 0 ? [] : rowsOf(rows, look),
    look
  )
}

const commandSections = ({ subcommands = [] }: HelpDoc.HelpDoc, look: Look): ReadonlyArray<string> =>
  subcommands.flatMap(({ commands, group }) =>
    section(
      (group ?? "Commands").toUpperCase(),
      commands.flatMap(({ description, name, shortDescription }) =>
        beside({ name, about: shortDescription ?? description }, 14, look.width)
      ),
      look
    )
  )

const exampleLines = ({ examples = [] }: HelpDoc.HelpDoc, { width }: Look): ReadonlyArray<string> =>
  examples.flatMap(({ command, description }) => [
    ...(description === undefined ? [] : indented(`# ${description}`, indent, width)),
    `${" ".repeat(indent)}${command}`
  ])

/** Returns the help of a command. */
export const helpText = (doc: HelpDoc.HelpDoc, look: Look): string =>
  [
    ...section("USAGE", [`  ${doc.usage.replace("<subcommand>", "<command>")}`], look),
    ...section("DESCRIPTION", indented(doc.description, indent, look.width), look),
    ...section("EXAMPLES", exampleLines(doc, look), look),
    ...commandSections(doc, look),
    ...section("ARGUMENTS", doc.args === undefined ? [] : rowsOf(doc.args.map(argumentRow), look), look),
    ...flagSections(doc, look),
    ...secretSection(doc, look),
    ...section("FLAGS OF ALL COMMANDS", rowsOf((doc.globalFlags ?? []).map(flagRow), look), look),
    "Exit codes, files and every setting: man artifact-gc, or docs/command-line.md"
  ].join("\n")
