/** A serving process as the bench sees it: its address, its processor time and its memory. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { ensure } from "../harness/Question.ts"
import type { S3Server } from "../harness/Servers.ts"

/** Starts the floor, and returns its address and its process. */
export const startFloor = async (
  s3: S3Server
): Promise<{ readonly url: string; readonly child: ChildProcess }> => {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL("./Floor.js", import.meta.url)), JSON.stringify(s3)],
    {
      stdio: ["ignore", 2, 2, "ipc"],
      env: { ...process.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" }
    }
  )
  const [port] = (await once(child, "message")) as [number]
  return { url: `http://127.0.0.1:${port}`, child }
}

/** Returns the processor time of a process, which Linux counts in hundredths of a second. */
export const cpuMillis = ({ pid }: ChildProcess): number => {
  const [, fields = ""] = /^.*\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? []
  const [user, system] = fields.split(" ").slice(11, 13).map(Number)
  ensure(
    user !== undefined && system !== undefined,
    "this system does not report the processor time of a process"
  )
  return (user + system) * 10
}

/** Returns the peak memory of a process since {@link forgetPeak}. */
export const peakBytes = ({ pid }: ChildProcess): number => {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  ensure(kibibytes !== undefined, "this system does not report the memory of a process")
  return Number(kibibytes) * 1024
}

/** Makes the present memory the peak. */
export const forgetPeak = ({ pid }: ChildProcess): void => writeFileSync(`/proc/${pid}/clear_refs`, "5")
