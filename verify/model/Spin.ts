/** Runs one search with spin: Promela to C, C to a program, the program to a verdict. */
import { cpSync, existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../../tools/Program.ts"
import { fileAt } from "../../tools/Repository.ts"
import { libraryEnv, packageFolder, unpack } from "../../tools/servers/Packages.ts"
import { capture, type Output, type RunOptions, which } from "../../tools/servers/Processes.ts"
import type { Kind, Search } from "./Searches.ts"

const sources = fileAt("verify/model")

/**
 * Runs a program to its end. Its exit code is part of the answer, because spin's programs differ in what it
 * means.
 */
const execute = (command: string, args: ReadonlyArray<string>, options: RunOptions = {}): Promise<Output> =>
  capture(command, args, { ...options, parentSignal: "SIGKILL" })

const succeed = async (command: string, args: ReadonlyArray<string>, options: RunOptions): Promise<void> => {
  const { code, signal, all } = await execute(command, args, options)
  if (code !== 0)
    throw new Error(`${command} ${args.join(" ")} ended with ${code ?? signal}:\n${all.slice(-4000)}`)
}

/** Tells whether a program is the model checker: other programs are called spin, too. */
const isSpin = async (path: string, env: NodeJS.ProcessEnv): Promise<boolean> =>
  /^Spin Version 6\.5/.test((await execute(path, ["-V"], { env })).all)

/** The programs that a search needs, and their environment. */
export interface Tools {
  readonly spin: string
  readonly compiler: string
  readonly env: NodeJS.ProcessEnv
}

/**
 * Returns the spin on PATH, or Debian's, unpacked into the cache folder, and the C compiler that both need.
 */
export const findTools = async (cache: string): Promise<Tools> => {
  const compiler = which("gcc")
  if (!compiler) {
    throw new Missing(
      "gcc is not on PATH. spin reads its models through gcc and writes C programs that search them: " +
        'install a C compiler (on Debian "apt-get install gcc libc6-dev") and try again.'
    )
  }
  const installed = which("spin")
  if (installed && (await isSpin(installed, process.env)))
    return { spin: installed, compiler, env: process.env }
  if (!which("apt-get") || !which("dpkg")) {
    throw new Missing(
      "The model checker spin 6.5 is not on PATH, and this machine has no apt-get and dpkg to fetch Debian's " +
        "package. Install it from https://spinroot.com and try again."
    )
  }
  const folder = packageFolder(cache, "spin")
  await unpack(["spin"], folder)
  const spin = join(folder, "usr/bin/spin")
  const env = libraryEnv(folder)
  if (!(await isSpin(spin, env))) {
    throw new Missing(`${spin} does not run here; put spin 6.5 (https://spinroot.com) on PATH and try again.`)
  }
  return { spin, compiler, env }
}

const compilerFlags: Readonly<Record<Kind, ReadonlyArray<string>>> = {
  all: ["-DSAFETY", "-DCOLLAPSE"],
  shortest: ["-DSAFETY", "-DBFS"],
  live: ["-DCOLLAPSE", "-DNFAIR=8"]
}

/** The limits of a search. A search that reaches one is cut, which counts as a surprise. */
const bounds = ({ kind, full }: Search): { readonly memory: number; readonly run: ReadonlyArray<string> } => {
  const memory = full ? 10_000 : 3_500
  if (kind === "shortest") return { memory, run: ["-w22"] }
  const depth = full ? 5_000_000 : 1_000_000
  return { memory, run: [...(kind === "live" ? ["-a", "-f"] : []), `-m${depth}`, full ? "-w26" : "-w24"] }
}

const modelOptions = ({ kind, options }: Search): ReadonlyArray<string> => [
  ...(kind === "live" ? ["-DLIVE"] : []),
  ...Object.entries(options).map(([name, value]) => `-D${name}=${value}`)
]

/** What a search printed about itself. Null where it printed nothing. */
interface Numbers {
  readonly errors: number | null
  readonly states: number | null
  readonly transitions: number | null
  readonly depth: number | null
  readonly memoryMb: number | null
  readonly seconds: number | null
}

/** The outcome of a search. */
export interface Found extends Numbers {
  /** What came out, in the words of {@link Search.expected}, or `cut` or `error`. */
  readonly got: string
  /** The steps that led to it. Empty where everything holds. */
  readonly trace: ReadonlyArray<string>
}

/** Runs a search in a folder of its own below `folder`. */
export const search = async (tools: Tools, wanted: Search, folder: string): Promise<Found> => {
  const cwd = join(folder, wanted.name)
  mkdirSync(cwd, { recursive: true })
  cpSync(sources, cwd, { recursive: true })
  const at = { cwd, env: tools.env }
  const { memory, run } = bounds(wanted)
  const options = modelOptions(wanted)
  const file = wanted.model ?? "protocol.pml"
  await succeed(tools.spin, ["-a", ...options, file], at)
  const flags = [...compilerFlags[wanted.kind], `-DMEMLIM=${memory}`]
  // A search that ends early would take less time than its optimisation.
  const effort = wanted.expected === "holds" ? "-O2" : "-O0"
  await succeed(tools.compiler, [effort, "-w", ...flags, "-o", "pan", "pan.c"], at)
  const { all: output } = await execute(join(cwd, "pan"), run, at)
  const numbers = readNumbers(output)
  const hasTrail = existsSync(join(cwd, `${file}.trail`))
  const trace = hasTrail ? await replay(tools.spin, [...options, file], at) : []
  return { ...numbers, got: verdict(wanted, output, numbers, trace), trace }
}

const readNumbers = (output: string): Numbers => {
  const number = (pattern: RegExp) => {
    const found = pattern.exec(output)
    return found ? Number(found[1]) : null
  }
  return {
    errors: number(/errors: (\d+)/),
    states: number(/^\s*([\d.e+]+) states, stored/m),
    transitions: number(/^\s*([\d.e+]+) transitions/m),
    depth: number(/depth reached (\d+)/),
    memoryMb: number(/^\s*([\d.e+]+)\s+total actual memory usage/m),
    seconds: number(/elapsed time ([\d.e+]+) seconds/)
  }
}

const cut = /max search depth too small|reached -DMEMLIM|Search not completed|out of memory|hash ?table full/i

const verdict = (
  wanted: Search,
  output: string,
  { errors, states }: Numbers,
  trace: ReadonlyArray<string>
): string => {
  if (errors === null || states === null) return "cut"
  if (errors === 0) return cut.test(output) ? "cut" : "holds"
  if (wanted.kind === "live") return /acceptance cycle/.test(output) ? "I3" : "error"
  const last = trace.at(-1) ?? ""
  return /^BROKEN (I\d)/.exec(last)?.[1] ?? (last === "REACHED" ? "reached" : "error")
}

const step = /^(writer|collector|user|reader|network|replica|failover|BROKEN|REACHED)/

/**
 * Returns the steps that led there, in the model's words. The steps after `for ever:` are repeated; there may
 * be none.
 */
const replay = async (
  spin: string,
  options: ReadonlyArray<string>,
  at: RunOptions
): Promise<ReadonlyArray<string>> => {
  const { all: output } = await execute(spin, ["-t", "-T", ...options], at)
  const lines = output.split("\n").map((line) => line.trim())
  const cycle = lines.findIndex((line) => line.includes("START OF CYCLE"))
  const steps = (part: ReadonlyArray<string>) => part.filter((each) => step.test(each))
  if (cycle < 0) return steps(lines)
  return [
    ...withoutRounds(steps(lines.slice(0, cycle))),
    "for ever:",
    ...new Set(steps(lines.slice(cycle + 1)))
  ]
}

/** Rounds that changed nothing: the step that ends each, and its earlier steps. */
const rounds: ReadonlyArray<readonly [last: RegExp, ...earlier: ReadonlyArray<RegExp>]> = [
  [/purge, absolved$/, /purge, locks the row$/, /the row is condemned$/],
  [/is owned$/, /LIST shows/]
]

/** Removes the rounds in which a collector changed nothing: a search for endless runs prefers long ones. */
const withoutRounds = (steps: ReadonlyArray<string>): ReadonlyArray<string> => {
  const kept: Array<string> = []
  for (const each of steps) {
    const round = rounds.find(([last]) => last.test(each))
    if (!round) kept.push(each)
    for (const earlier of round?.slice(1) ?? []) {
      const index = kept.findLastIndex((line) => earlier.test(line))
      if (index >= 0) kept.splice(index, 1)
    }
  }
  return kept
}
