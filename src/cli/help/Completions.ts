/** Completions for shells: the framework's scripts, for a description of the commands that knows more of values. */
import { Effect, Option } from "effect"
import { type Command, Completions, Flag, GlobalFlag } from "effect/cli"
import { names as changeable } from "../../sweep/Changes.ts"
import { breakerNames } from "../BreakerText.ts"
import * as Print from "../Print.ts"
import { byFlag, firstSentence, formOf } from "./Forms.ts"

/** What the descriptions of one command are made of. */
type Described = Completions.CommandDescriptor

/** Returns the first sentence, without examples, limits and the name of the variable. */
const shortest = (text: string | undefined): string | undefined =>
  text === undefined ? undefined : (firstSentence(text).split(/[:;] | \(|, (?:e\.g\.|such as) /)[0] ?? text)

const typeOf = (name: string, otherwise: Completions.FlagType): Completions.FlagType => {
  const known = byFlag.get(name)
  if (known === undefined) return name === "tree" ? { _tag: "Path", pathType: "directory" } : otherwise
  const { path, words } = formOf(known.setting)
  if (words.length > 0) return { _tag: "Choice", values: words }
  return path === null ? otherwise : { _tag: "Path", pathType: path }
}

/** The values of arguments, by command and name. */
const argumentValues: Readonly<Record<string, ReadonlyArray<string>>> = {
  "set name": changeable,
  "unset name": changeable,
  "breaker breaker": breakerNames
}

const described = (command: Described, everywhere: ReadonlyArray<Completions.FlagDescriptor>): Described => ({
  ...command,
  flags: [...command.flags, ...everywhere].map((flag) => ({
    ...flag,
    description: shortest(flag.description),
    type: typeOf(flag.name, flag.type),
    // A negation says nothing where the default is no.
    negation: flag.description?.includes("--no-") === true ? flag.negation : false
  })),
  arguments: command.arguments.map((argument) => {
    const values = argumentValues[`${command.name} ${argument.name}`]
    const description = shortest(argument.description)
    return {
      ...argument,
      description,
      ...(values === undefined ? {} : { type: { _tag: "Choice" as const, values } })
    }
  }),
  subcommands: command.subcommands.map((sub) => described(sub, everywhere))
})

/** The framework describes the flags of commands alone. */
const everywhere: ReadonlyArray<Completions.FlagDescriptor> = [
  { name: "help", aliases: ["h"], description: "Show help", type: { _tag: "Boolean" }, negation: false },
  {
    name: "quiet",
    aliases: ["q"],
    description: "No progress and no notices",
    type: { _tag: "Boolean" },
    negation: false
  },
  {
    name: "log-level",
    aliases: [],
    description: "Least level of the log",
    type: { _tag: "Choice", values: ["debug", "info", "warn", "error", "none"] }
  }
]

const ofProgram: ReadonlyArray<Completions.FlagDescriptor> = [
  {
    name: "version",
    aliases: ["v"],
    description: "Show the version",
    type: { _tag: "Boolean" },
    negation: false
  },
  {
    name: "completions",
    aliases: [],
    description: "Print the completions of a shell",
    type: { _tag: "Choice", values: ["bash", "zsh", "fish", "powershell"] }
  }
]

/**
 * Returns the script with the condition that holds at each completion. The framework's holds at the first one alone, while zsh
 * loads the file: the next completions of a session would offer nothing.
 */
const atEachCompletion = (name: string, text: string): string => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: of the shell
  const atFirst = '[[ "${zsh_eval_context[-1]}" == "loadautofunc" ]]'
  if (!text.includes(atFirst)) throw new Error("The framework's script for zsh has changed.")
  return text.replace(atFirst, `[[ "\${funcstack[1]}" == "_${name}" ]]`)
}

/** Returns the script that completes this program in a shell. */
export const script = (shell: Completions.Shell, app: Command.Command.Any): string => {
  const found = described(Completions.fromCommand(app), everywhere)
  const flags = [...found.flags, ...ofProgram]
  const text = Completions.generate(app.name, shell, { ...found, flags })
  return shell === "zsh" ? atEachCompletion(app.name, text) : text
}

/** The flag that prints the script, in place of the framework's. */
export const flag: typeof GlobalFlag.Completions = GlobalFlag.Action({
  flag: Flag.ChoiceWithValue("completions", [
    ["bash", "bash"],
    ["zsh", "zsh"],
    ["fish", "fish"],
    ["powershell", "powershell"],
    ["sh", "bash"],
    ["pwsh", "powershell"]
  ]).pipe(
    Flag.optional,
    Flag.withMetavar("bash|zsh|fish|powershell"),
    Flag.withDescription("Print the completions of a shell, to be installed as docs/command-line.md says")
  ),
  run: Effect.fnUntraced(function* (shell, { command }) {
    if (Option.isSome(shell)) yield* Print.own(script(shell.value, command))
  })
})
