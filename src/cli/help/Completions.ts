/** Completions for shells: the framework's scripts, for a description of the commands that knows more of values. */
import { Effect, Option } from "effect"
import { type Command, Completions, Flag, GlobalFlag } from "effect/cli"
import { names as changeable } from "../../sweep/Changes.ts"
import { breakerNames } from "../BreakerText.ts"
import * as Print from "../Print.ts"
import { byFlag, formOf } from "./Forms.ts"

/** What the descriptions of one command are made of. */
type Described = Completions.CommandDescriptor

const shortest = (text: string | undefined): string | undefined => text?.split(/[.:;,(] ?/)[0]?.trim()

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
  description: shortest(command.description),
  flags: [...command.flags, ...everywhere].map((flag) => ({
    ...flag,
    description: shortest(flag.description),
    type: typeOf(flag.name, flag.type)
  })),
  arguments: command.arguments.map((argument) => {
    const values = argumentValues[`${command.name} ${argument.name}`]
    return { ...argument, ...(values === undefined ? {} : { type: { _tag: "Choice" as const, values } }) }
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

/** Returns the script that completes this program in a shell. */
export const script = (shell: Completions.Shell, app: Command.Command.Any): string => {
  const found = described(Completions.fromCommand(app), everywhere)
  return Completions.generate(app.name, shell, { ...found, flags: [...found.flags, ...ofProgram] })
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
