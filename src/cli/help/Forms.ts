/** How the value of a setting is written on a command line: its name in the help, and what a shell can complete. */
import { sections } from "../../config/settings.ts"

type AnySetting = (typeof sections)[keyof typeof sections] extends infer Section
  ? Section extends Readonly<Record<string, infer One>>
    ? One
    : never
  : never

/** A setting, as far as its flag shows it. */
export type FlagSetting = Pick<AnySetting, "env" | "form" | "default" | "about" | "secret">

/** What stands for a value in the help, and what a shell can complete. */
export interface Form {
  readonly metavar: string
  /** The words that are accepted; empty for others. */
  readonly words: ReadonlyArray<string>
  readonly path: "file" | "directory" | null
}

const named: ReadonlyArray<readonly [begins: RegExp, metavar: string]> = [
  [/^a duration/, "duration"],
  [/^a whole number/, "number"],
  [/^a port/, "port"],
  [/URL/, "url"],
  [/^(names|origins)/, "names"],
  [/^table\.column/, "columns"],
  [/^cron/, "cron"],
  [/^IANA/, "zone"],
  [/^HH:MM/, "hours"],
  [/name$/, "name"]
]

/** Returns the form of a setting's value. */
export const formOf = ({ env, form }: Pick<FlagSetting, "env" | "form">): Form => {
  const words = /^[\w-]+( or [\w-]+)+$/.test(form) ? form.split(" or ") : []
  if (words.length > 0) return { metavar: words.join("|"), words, path: null }
  if (/^path of a file/.test(form)) return { metavar: "file", words, path: "file" }
  if (form === "path" || env.endsWith("_DIRECTORY")) return { metavar: "directory", words, path: "directory" }
  return { metavar: named.find(([begins]) => begins.test(form))?.[1] ?? "text", words, path: null }
}

/** Returns the name of a setting's flag, without hyphens in front. */
export const flagNameOf = (env: string): string => env.toLowerCase().replaceAll("_", "-")

/** Every setting by the name of its flag, with the heading that it has in the documentation. */
export const byFlag: ReadonlyMap<string, { readonly heading: string; readonly setting: FlagSetting }> =
  new Map(
    Object.entries(sections).flatMap(([heading, section]) =>
      Object.values(section).map((setting) => [flagNameOf(setting.env), { heading, setting }] as const)
    )
  )

/** Returns the first sentence without its full stop. The full stops of `e.g.` do not end it. */
export const firstSentence = (text: string): string => text.split(/(?<!e\.g)\.(?:\s|$)/)[0] ?? text
