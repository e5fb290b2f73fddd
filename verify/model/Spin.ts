/** Runs one search with spin: Promela to C, C to a program, the program to a verdict. */
import { spawn } from "node:child_process"
import { cpSync, existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { libraryEnv, packageFolder, unpack } from "../servers/packages.mjs"
import { dieWithParent, Missing, which } from "../servers/processes.mjs"

const sources = fileURLToPath(new URL("../../model", import.meta.url))

/** Runs a program to its end; the exit code is part of the answer, because spin's programs differ in what it means. */
const execute = (command, args, options = {}) =>
  new Promise((resolve, reject) => {
    const [program, programArgs] = dieWithParent(command, args, "SIGKILL")
    const child = spawn(program, programArgs, { ...options, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text
      })
    }
    child.once("error", reject)
    child.once("close", (code, signal) => resolve({ code: code ?? signal, output }))
  })

const succeed = async (command, args, options) => {
  const { code, output } = await execute(command, args, options)
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}:\n${output.slice(-4000)}`)
  return output
}

/** Other programs are called spin, too. */
const isSpin = async (path, env) => /^Spin Version 6\.5/.test((await execute(path, ["-V"], { env })).output)

/** The spin on PATH, or Debian's, unpacked into the cache folder; and the C compiler both it and we need. */
export const findTools = async (cache) => {
  const compiler = which("gcc")
  if (!compiler) {
    throw new Missing(
      "gcc is not on PATH. spin reads its models through gcc and writes C programs that search them: install a C " +
        'compiler (on Debian "apt-get install gcc libc6-dev") and try again.'
    )
  }
  const installed = which("spin")
  if (installed && (await isSpin(installed))) return { spin: installed, compiler, env: process.env }
  if (!which("apt-get") || !which("dpkg")) {
    throw new Missing(
      "The model checker spin 6.5 is not on PATH, and this machine has no apt-get and dpkg to fetch Debian's package. " +
        "Install it from https://spinroot.com and try again."
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

const compilerFlags = {
  all: ["-DSAFETY", "-DCOLLAPSE"],
  shortest: ["-DSAFETY", "-DBFS"],
  live: ["-DCOLLAPSE", "-DNFAIR=8"]
}

/** A search that meets a bound of these is cut, which counts as a surprise. */
const bounds = (kind, full) => {
  const memory = full ? 10_000 : 3_500
  if (kind === "shortest") return { memory, run: ["-w22"] }
  const depth = full ? 5_000_000 : 1_000_000
  return { memory, run: [...(kind === "live" ? ["-a", "-f"] : []), `-m${depth}`, full ? "-w26" : "-w24"] }
}

const modelOptions = ({ kind, options }) => [
  ...(kind === "live" ? ["-DLIVE"] : []),
  ...Object.entries(options).map(([name, value]) => `-D${name}=${value}`)
]

/** Runs a search in a folder of its own below `folder`; answers what came out, with the trace of what went wrong. */
export const search = async (tools, wanted, folder) => {
  const cwd = join(folder, wanted.name)
  mkdirSync(cwd, { recursive: true })
  cpSync(sources, cwd, { recursive: true })
  const at = { cwd, env: tools.env }
  const { memory, run } = bounds(wanted.kind, wanted.full)
  const options = modelOptions(wanted)
  await succeed(tools.spin, ["-a", ...options, "protocol.pml"], at)
  const flags = [...compilerFlags[wanted.kind], `-DMEMLIM=${memory}`]
  // Where little is searched, optimising would cost more than it gains.
  const effort = wanted.expected === "holds" ? "-O2" : "-O0"
  await succeed(tools.compiler, [effort, "-w", ...flags, "-o", "pan", "pan.c"], at)
  const { output } = await execute(join(cwd, "pan"), run, at)
  const numbers = readNumbers(output)
  const hasTrail = existsSync(join(cwd, "protocol.pml.trail"))
  const trace = hasTrail ? await replay(tools.spin, options, at) : []
  return { ...numbers, got: verdict(wanted, output, numbers, trace), trace }
}

const readNumbers = (output) => {
  const number = (pattern) => {
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

const verdict = (wanted, output, { errors, states }, trace) => {
  if (errors === null || states === null) return "cut"
  if (errors === 0) return cut.test(output) ? "cut" : "holds"
  if (wanted.kind === "live") return /acceptance cycle/.test(output) ? "I3" : "error"
  const last = trace.at(-1) ?? ""
  return /^BROKEN (I\d)/.exec(last)?.[1] ?? (last === "REACHED" ? "reached" : "error")
}

const step = /^(writer|collector|user|reader|network|replica|failover|BROKEN|REACHED)/

/** The steps that led there, in the model's words. What follows `for ever:` is repeated, nothing or not. */
const replay = async (spin, options, at) => {
  const { output } = await execute(spin, ["-t", "-T", ...options, "protocol.pml"], at)
  const lines = output.split("\n").map((line) => line.trim())
  const cycle = lines.findIndex((line) => line.includes("START OF CYCLE"))
  const steps = (part) => part.filter((line) => step.test(line))
  if (cycle < 0) return steps(lines)
  return [
    ...withoutRounds(steps(lines.slice(0, cycle))),
    "for ever:",
    ...new Set(steps(lines.slice(cycle + 1)))
  ]
}

/** How rounds end that changed nothing, and the steps they consist of. */
const rounds = [
  [/purge, absolved$/, /purge, locks the row$/, /the row is condemned$/],
  [/is owned$/, /LIST shows/]
]

/** A search for endless runs prefers long ones; the rounds in which a collector achieved nothing are left out. */
const withoutRounds = (steps) => {
  const kept = []
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
