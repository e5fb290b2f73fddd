/**
 * Measures variants of the same work. Each variant runs in its own process, so that it shares no memory,
 * garbage collection or compiled code.
 *
 * A variant is a file that calls {@link runVariant}; {@link measure} starts it. A prepared variant waits for
 * a command. So several variants can begin at one instant.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { ensure, NoFigures } from "./Question.ts"

/** What one run of a variant took. */
export interface Measurement<Outcome> {
  readonly millis: number
  /** When the run began and ended, in milliseconds since 1970. */
  readonly beganAt: number
  readonly endedAt: number
  /** Processor time of the process, on all its threads. */
  readonly cpuMillis: number
  /** Resident memory of the connected process, before the run. */
  readonly rssBeforeBytes: number
  /** Peak resident memory since the process started. */
  readonly rssPeakBytes: number
  /** Resident memory during the run, sampled at most ten times a second. */
  readonly rssOverTime: ReadonlyArray<{ readonly millis: number; readonly bytes: number }>
  readonly outcome: Outcome
}

/** A variant that is connected and can be timed. */
export interface PreparedVariant<Outcome> {
  /** Does the work. `stopping` returns whether it was asked to stop. */
  readonly run: (stopping: () => boolean) => Promise<Outcome>
  /** Closes the connections. */
  readonly close: () => Promise<void>
}

const sampleMillis = 100

/** A message to a variant. */
type Command = "run" | "stop"

/** A message from a variant. */
type Message<Outcome> = { readonly ready: true } | { readonly measurement: Measurement<Outcome> }

/** Runs the variant whose file calls this, once. */
export const runVariant = async <Task, Outcome>(
  prepare: (task: Task) => Promise<PreparedVariant<Outcome>>
): Promise<void> => {
  const task = JSON.parse(process.argv[2] ?? "null") as Task
  // A disconnect while a long message is on its way would lose it.
  const send = (message: Message<Outcome>) =>
    new Promise<void>((sent) => process.send?.(message, () => sent()))
  let isStopping = false
  const started = new Promise<void>((run, reject) => {
    process.on("message", (command: Command) => {
      if (command === "run") run()
      else isStopping = true
    })
    process.once("disconnect", () => reject(new Error("the bench no longer waits for this variant")))
  })
  const { run, close } = await prepare(task)
  await send({ ready: true })
  await started
  const rssBeforeBytes = process.memoryUsage.rss()
  const rssOverTime: Array<{ readonly millis: number; readonly bytes: number }> = []
  const cpuBefore = process.cpuUsage()
  const began = performance.now()
  const sampling = setInterval(() => {
    rssOverTime.push({ millis: performance.now() - began, bytes: process.memoryUsage.rss() })
  }, sampleMillis)
  const outcome = await run(() => isStopping)
  clearInterval(sampling)
  const ended = performance.now()
  const cpu = process.cpuUsage(cpuBefore)
  const measurement: Measurement<Outcome> = {
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
  await send({ measurement })
  process.disconnect?.()
}

/**
 * Returns the peak of this process alone. On Linux, the maxrss of getrusage includes the memory of the parent
 * at the fork: a child of a parent with 400 MB reported 400 MB (measured 2026-11-23). So the high-water mark
 * is read instead.
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

/** The process of a variant. */
export interface VariantProcess<Outcome> {
  /** Starts the run. */
  readonly begin: () => void
  /** Asks the variant to stop. */
  readonly stop: () => void
  /** Returns its processor time since its start, on all its threads. */
  readonly cpuMillis: () => number
  /** The measurement, after the run has ended. */
  readonly measurement: Promise<Measurement<Outcome>>
  /** Kills the process. */
  readonly kill: () => void
}

/** Starts the variant in `file` of the build. Returns when it is prepared. */
export const start = async <Outcome>(
  file: URL,
  task: unknown,
  nodeOptions: ReadonlyArray<string> = []
): Promise<VariantProcess<Outcome>> => {
  const path = fileURLToPath(file)
  const child = spawn(process.execPath, [...nodeOptions, path, JSON.stringify(task)], {
    // The standard output of the bench contains only the figures.
    stdio: ["ignore", 2, 2, "ipc"],
    env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" }
  })
  const send = (command: Command) => {
    if (child.connected) child.send(command)
  }
  let setReady = () => {}
  const ready = new Promise<void>((resolve) => {
    setReady = resolve
  })
  const measurement = new Promise<Measurement<Outcome>>((resolve, reject) => {
    let found: Measurement<Outcome> | undefined
    child.on("message", (message: Message<Outcome>) => {
      if ("measurement" in message) found = message.measurement
      else setReady()
    })
    child.once("error", reject)
    const exited = new Promise<number | string | null>((ended) =>
      child.once("exit", (code, signal) => ended(code ?? signal))
    )
    // A message may still be on its way after the process has ended, but not after the channel is closed.
    const disconnected = new Promise<void>((ended) => child.once("disconnect", ended))
    Promise.all([exited, disconnected]).then(([end]) => {
      if (end === 0 && found !== undefined) resolve(found)
      else reject(new NoFigures(`${path.split("/").at(-1)} ended with ${end} and no measurement`))
    }, reject)
  })
  // Avoids an unhandled rejection before a caller waits for the measurement.
  measurement.catch(() => {})
  await Promise.race([ready, measurement])
  return {
    begin: () => send("run"),
    stop: () => send("stop"),
    cpuMillis: () => cpuMillisOf(child),
    measurement,
    kill: () => void child.kill("SIGKILL")
  }
}

/** Returns the processor time of a process, which Linux counts in hundredths of a second. */
const cpuMillisOf = ({ pid }: ChildProcess): number => {
  // The 14th and 15th field are user and system time. The name before them may contain any character.
  const [, fields = ""] = /^.*\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? []
  const [user, system] = fields.split(" ").slice(11, 13).map(Number)
  ensure(
    user !== undefined && system !== undefined,
    "this system does not report the processor time of a process"
  )
  return (user + system) * 10
}

/** Measures the variant in `file` of the build. */
export const measure = async <Outcome>(
  file: URL,
  task: unknown,
  nodeOptions: ReadonlyArray<string> = []
): Promise<Measurement<Outcome>> => {
  const [measurement] = await measureTogether<Outcome>([{ file, task }], nodeOptions)
  ensure(measurement !== undefined, "no variant was measured")
  return measurement
}

/**
 * Measures variants that run at the same time. All begin at one instant, after the last of them is prepared.
 */
export const measureTogether = async <Outcome>(
  variants: ReadonlyArray<{ readonly file: URL; readonly task: unknown }>,
  nodeOptions: ReadonlyArray<string> = []
): Promise<ReadonlyArray<Measurement<Outcome>>> => {
  const starting = variants.map(({ file, task }) => start<Outcome>(file, task, nodeOptions))
  try {
    const processes = await Promise.all(starting)
    for (const { begin } of processes) begin()
    return await Promise.all(processes.map(({ measurement }) => measurement))
  } catch (error) {
    for (const one of await Promise.allSettled(starting)) if (one.status === "fulfilled") one.value.kill()
    throw error
  }
}
