/** promtool, which checks metrics, from Debian's package of Prometheus. */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../Program.ts"
import { packageFolder, unpack } from "./Packages.ts"

const unpacked = (cache: string): string => packageFolder(cache, "prometheus")

/** Returns a program's path. Prefers the system's own installation. */
export const locate = (cache: string, name: "promtool" | "prometheus" = "promtool"): string | undefined =>
  ["/", unpacked(cache)].map((root) => join(root, "usr/bin", name)).find((program) => existsSync(program))

/** Fetches promtool into the cache folder. Does nothing if the system or the folder has it. */
export const install = async (cache: string): Promise<void> => {
  if (locate(cache) === undefined) await unpack(["prometheus"], unpacked(cache))
}

/** Runs promtool with `input` and returns its exit code and all that it printed. */
export const promtool = (
  cache: string,
  args: ReadonlyArray<string>,
  input: string
): Promise<{ readonly code: number; readonly output: string }> => {
  const program = locate(cache)
  if (program === undefined) throw new Missing("promtool is missing. Run: npm run servers -- install")
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text
      })
    }
    child.once("error", reject)
    child.once("close", (code) => resolve({ code: code ?? -1, output }))
    child.stdin.end(input)
  })
}
