/** Collections as processes of their own: what they take, and how they are run. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { ensure } from "../harness/Question.ts"
import type { S3Server } from "../harness/Servers.ts"
import * as SourceTree from "../harness/SourceTree.ts"
import * as Processes from "../registry/Processes.ts"
import { environment } from "../upload/Replica.ts"

/** What a collection took. */
export interface Taken {
  readonly millis: number
  readonly cpuMillis: number
  readonly peakBytes: number
}

/** Runs a process to its end. Its processor time and memory are read while it runs, so up to the last 20 ms are missed. */
export const run = async (child: ChildProcess): Promise<Taken> => {
  const began = performance.now()
  let [cpuMillis, peakBytes] = [0, 0]
  let errors = ""
  child.stderr?.on("data", (text) => {
    errors = `${errors}${text}`.slice(-2000)
  })
  const look = () => {
    try {
      cpuMillis = Processes.cpuMillis(child)
      peakBytes = Processes.peakBytes(child)
    } catch {
      // It has ended.
    }
  }
  const timer = setInterval(look, 20)
  const [code] = await once(child, "exit")
  clearInterval(timer)
  ensure(code === 0, `the collection ended with ${code}:\n${errors}`)
  return { millis: performance.now() - began, cpuMillis, peakBytes }
}

/**
 * Waits of a second, where the defaults are hours. The breaker asks about nothing: half of all images is more than a mistake
 * may delete.
 */
export const settings = {
  GC_GRACE: "1 second",
  GC_QUARANTINE: "0 seconds",
  GC_BREAKER_PERCENT: "100",
  REGISTRY_HOLD: "5 seconds"
}

/** Starts a sweep of this project. */
export const startSweep = (databaseUrl: string, s3: S3Server): ChildProcess =>
  spawn(process.execPath, [fileURLToPath(new URL("dist/main.js", SourceTree.root)), "sweep"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...environment(databaseUrl, s3), ...settings }
  })
