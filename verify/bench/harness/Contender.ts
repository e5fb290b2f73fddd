/**
 * Measuring in processes of their own, so that memory, garbage collection and compiled code are each contender's alone.
 *
 * A contender is a file that calls {@link compete}; {@link measure} runs it. Once it is prepared it says so and waits for
 * the word: several of them can so begin at one instant.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Insufficient, insist } from "./Question.ts"

export interface Effort<Outcome> {
  readonly millis: number
  /** When it began and ended, by this machine's clock, in milliseconds since 1970. */
  readonly beganAt: number
  readonly endedAt: number
  /** Of this process, on all its threads. */
  readonly cpuMillis: number
  /** When it was connected and had not begun. */
  readonly rssBeforeBytes: number
  /** The most it ever had, from its first instruction on. */
  readonly rssPeakBytes: number
  /** What it had meanwhile, ten times a second as far as it came to it. */
  readonly rssOverTime: ReadonlyArray<{ readonly millis: number; readonly bytes: number }>
  readonly outcome: Outcome
}

/** A prepared contender: connected, warm as far as connections go, and ready to be timed. */
export interface Ready<Outcome> {
  /** `stopping` tells whether it was asked to come to an end. */
  readonly run: (stopping: () => boolean) => Promise<Outcome>
  readonly close: () => Promise<void>
}

const sampleMillis = 100

/** What a contender is told. */
type Word = "run" | "stop"

/** What a contender says. */
type Said<Outcome> = { readonly ready: true } | { readonly effort: Effort<Outcome> }

/** To be called once, by a contender's file. */
export const compete = async <Task, Outcome>(
  prepare: (task: Task) => Promise<Ready<Outcome>>
): Promise<void> => {
  const task = JSON.parse(process.argv[2] ?? "null") as Task
  // To disconnect while a long message is on its way would lose it.
  const say = (said: Said<Outcome>) => new Promise<void>((sent) => process.send?.(said, () => sent()))
  let stops = false
  const told = new Promise<void>((run, reject) => {
    process.on("message", (word: Word) => {
      if (word === "run") run()
      else stops = true
    })
    process.once("disconnect", () => reject(new Error("nobody waits for this contender any more")))
  })
  const { run, close } = await prepare(task)
  await say({ ready: true })
  await told
  const rssBeforeBytes = process.memoryUsage.rss()
  const rssOverTime: Array<{ readonly millis: number; readonly bytes: number }> = []
  const cpuBefore = process.cpuUsage()
  const began = performance.now()
  const sampling = setInterval(() => {
    rssOverTime.push({ millis: performance.now() - began, bytes: process.memoryUsage.rss() })
  }, sampleMillis)
  const outcome = await run(() => stops)
  clearInterval(sampling)
  const ended = performance.now()
  const cpu = process.cpuUsage(cpuBefore)
  const effort: Effort<Outcome> = {
    millis: ended - began,
    beganAt: performance.timeOrigin + began,
    endedAt: performance.timeOrigin + ended,
    cpuMillis: (cpu.user + cpu.system) / 1000,
    rssBeforeBytes,
    rssPeakBytes: peakRssBytes(),
    rssOverTime,
    outcome
  }
  await close()
  await say({ effort })
  process.disconnect?.()
}

/**
 * Linux counts into getrusage's maxrss what the parent had when it forked (a child of a parent with 400 MB was said
 * to have 400 MB; measured 2026-11-23), so its own high-water mark is read where there is one.
 */
const peakRssBytes = (): number => {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]
    if (kibibytes !== undefined) return Number(kibibytes) * 1024
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024
}

/** A contender that is prepared and has not begun, or has. */
export interface Contender<Outcome> {
  readonly begin: () => void
  /** Asks it to come to an end. */
  readonly stop: () => void
  /** The processor time it has taken since it was started, on all its threads. */
  readonly cpuMillis: () => number
  /** What it took, when it has ended. */
  readonly effort: Promise<Effort<Outcome>>
  /** Ends it in any case. */
  readonly kill: () => void
}

/** Starts the contender in `file` of the build and answers when it is prepared. */
export const start = async <Outcome>(
  file: URL,
  task: unknown,
  nodeOptions: ReadonlyArray<string> = []
): Promise<Contender<Outcome>> => {
  const path = fileURLToPath(file)
  const child = spawn(process.execPath, [...nodeOptions, path, JSON.stringify(task)], {
    // Its standard output belongs to the figures.
    stdio: ["ignore", 2, 2, "ipc"],
    env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" }
  })
  const tell = (word: Word) => {
    if (child.connected) child.send(word)
  }
  let sayReady = () => {}
  const ready = new Promise<void>((resolve) => {
    sayReady = resolve
  })
  const effort = new Promise<Effort<Outcome>>((resolve, reject) => {
    let found: Effort<Outcome> | undefined
    child.on("message", (said: Said<Outcome>) => {
      if ("effort" in said) found = said.effort
      else sayReady()
    })
    child.once("error", reject)
    const exited = new Promise<number | string | null>((ended) =>
      child.once("exit", (code, signal) => ended(code ?? signal))
    )
    // A message may still be on its way when the process has ended, but not when the channel is closed.
    const disconnected = new Promise<void>((ended) => child.once("disconnect", ended))
    Promise.all([exited, disconnected]).then(([end]) => {
      if (end === 0 && found !== undefined) resolve(found)
      else reject(new Insufficient(`${path.split("/").at(-1)} ended with ${end} and no measurement`))
    }, reject)
  })
  // Also where nobody has come to wait for it yet.
  effort.catch(() => {})
  await Promise.race([ready, effort])
  return {
    begin: () => tell("run"),
    stop: () => tell("stop"),
    cpuMillis: () => cpuMillisOf(child),
    effort,
    kill: () => void child.kill("SIGKILL")
  }
}

/** Linux counts in hundredths of a second. */
const cpuMillisOf = ({ pid }: ChildProcess): number => {
  // Behind the name, which may contain anything: the 14th and 15th field are user and system time.
  const [, fields = ""] = /^.*\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? []
  const [user, system] = fields.split(" ").slice(11, 13).map(Number)
  insist(user !== undefined && system !== undefined, "this system does not tell the time of a process")
  return (user + system) * 10
}

/** Runs the contender in `file` of the build to its end. */
export const measure = async <Outcome>(
  file: URL,
  task: unknown,
  nodeOptions: ReadonlyArray<string> = []
): Promise<Effort<Outcome>> => {
  const [effort] = await measureTogether<Outcome>([{ file, task }], nodeOptions)
  insist(effort !== undefined, "nobody was measured")
  return effort
}

/** Runs contenders to their ends, all begun at one instant, when the last of them is prepared. */
export const measureTogether = async <Outcome>(
  entrants: ReadonlyArray<{ readonly file: URL; readonly task: unknown }>,
  nodeOptions: ReadonlyArray<string> = []
): Promise<ReadonlyArray<Effort<Outcome>>> => {
  const starting = entrants.map(({ file, task }) => start<Outcome>(file, task, nodeOptions))
  try {
    const contenders = await Promise.all(starting)
    for (const { begin } of contenders) begin()
    return await Promise.all(contenders.map(({ effort }) => effort))
  } catch (error) {
    for (const one of await Promise.allSettled(starting)) if (one.status === "fulfilled") one.value.kill()
    throw error
  }
}
