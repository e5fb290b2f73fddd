/**
 * Measuring in a process of its own, so that memory, garbage collection and compiled code are the contender's alone.
 *
 * A contender is a file that calls {@link compete}; {@link measure} runs it.
 */
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Insufficient } from "./Question.ts"

export interface Effort<Outcome> {
  readonly millis: number
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
  readonly run: () => Promise<Outcome>
  readonly close: () => Promise<void>
}

const sampleMillis = 100

/** To be called once, by a contender's file. */
export const compete = async <Task, Outcome>(
  prepare: (task: Task) => Promise<Ready<Outcome>>
): Promise<void> => {
  const task = JSON.parse(process.argv[2] ?? "null") as Task
  const { run, close } = await prepare(task)
  const rssBeforeBytes = process.memoryUsage.rss()
  const rssOverTime: Array<{ readonly millis: number; readonly bytes: number }> = []
  const cpuBefore = process.cpuUsage()
  const began = performance.now()
  const sampling = setInterval(() => {
    rssOverTime.push({ millis: performance.now() - began, bytes: process.memoryUsage.rss() })
  }, sampleMillis)
  const outcome = await run()
  clearInterval(sampling)
  const millis = performance.now() - began
  const cpu = process.cpuUsage(cpuBefore)
  const effort: Effort<Outcome> = {
    millis,
    cpuMillis: (cpu.user + cpu.system) / 1000,
    rssBeforeBytes,
    rssPeakBytes: peakRssBytes(),
    rssOverTime,
    outcome
  }
  await close()
  process.send?.(effort)
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

/** Runs the contender in `file` of the build to its end. */
export const measure = <Outcome>(
  file: URL,
  task: unknown,
  nodeOptions: ReadonlyArray<string> = []
): Promise<Effort<Outcome>> =>
  new Promise((resolve, reject) => {
    const path = fileURLToPath(file)
    const args = [...nodeOptions, path, JSON.stringify(task)]
    const child = spawn(process.execPath, args, {
      // Its standard output belongs to the figures.
      stdio: ["ignore", 2, 2, "ipc"],
      env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" }
    })
    let effort: Effort<Outcome> | undefined
    child.on("message", (message) => {
      effort = message as Effort<Outcome>
    })
    child.once("error", reject)
    const exited = new Promise<number | string | null>((ended) =>
      child.once("exit", (code, signal) => ended(code ?? signal))
    )
    // A message may still be on its way when the process has ended, but not when the channel is closed.
    const disconnected = new Promise<void>((ended) => child.once("disconnect", ended))
    Promise.all([exited, disconnected]).then(([end]) => {
      if (end === 0 && effort !== undefined) resolve(effort)
      else reject(new Insufficient(`${path.split("/").at(-1)} ended with ${end} and no measurement`))
    }, reject)
  })
