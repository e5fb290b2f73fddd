/**
 * Chromium from Debian's packages, without a window, driven by its own protocol over two pipes: Node 20 has no WebSocket.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Readable, Writable } from "node:stream"
import { Missing } from "../Program.ts"
import { libraryEnv, packageFolder, unpack } from "./Packages.ts"

const unpacked = (cache: string): string => packageFolder(cache, "chromium")

const program = "usr/lib/chromium/chromium"

/** Returns the folder below which the program is. Prefers the system's own installation. */
const locate = (cache: string): string | undefined =>
  ["/", unpacked(cache)].find((root) => existsSync(join(root, program)))

/** Fetches Chromium and a font into the cache folder. Does nothing if the system or the folder has them. */
export const install = async (cache: string): Promise<void> => {
  if (locate(cache) === undefined) await unpack(["chromium", "fonts-dejavu-core"], unpacked(cache))
}

/** An answer of the protocol, as JSON. */
// biome-ignore lint/suspicious/noExplicitAny: each command has a shape of its own
export type Answer = any

/** A page in a browser. */
export interface Tab {
  /** Sends a command of the protocol to the page, as in `Page.navigate`. */
  readonly send: (method: string, params?: Readonly<Record<string, unknown>>) => Promise<Answer>
  /** Loads an address and waits until it is shown. */
  readonly open: (url: string) => Promise<void>
  /** Ends the browser and removes its profile. */
  readonly close: () => Promise<void>
}

/** The messages of a browser: each is JSON, and ends with a NUL. */
const protocol = (child: ChildProcess) => {
  const input = child.stdio[3] as Writable
  const output = child.stdio[4] as Readable
  const waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>()
  const listeners = new Set<(method: string) => void>()
  let last = 0
  let rest = ""
  input.on("error", () => {})
  output.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\0")
    rest = parts.pop() ?? ""
    for (const part of parts) {
      const message: Answer = JSON.parse(part)
      const asked = waiting.get(message.id)
      waiting.delete(message.id)
      if (message.method !== undefined) for (const listener of listeners) listener(message.method)
      else if (message.error !== undefined) asked?.reject(new Error(message.error.message))
      else asked?.resolve(message.result)
    }
  })
  child.once("close", () => {
    for (const { reject } of waiting.values()) reject(new Error("Chromium ended"))
  })
  const send = (method: string, params: object = {}, sessionId?: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      last += 1
      waiting.set(last, { resolve, reject })
      input.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`)
    })
  const heard = (method: string): Promise<void> =>
    new Promise((resolve) => {
      const listener = (name: string) => {
        if (name !== method) return
        listeners.delete(listener)
        resolve()
      }
      listeners.add(listener)
    })
  return { send, heard }
}

/**
 * Removes the folder. Children of the browser may write for a moment longer, and Node's own retries do not list a folder
 * again, so that a file that came late fails all of them.
 */
const removeSettled = async (folder: string): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return rmSync(folder, { recursive: true, force: true })
    } catch (error) {
      if (attempt === 50) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

/** Starts a browser with an empty page. */
export const open = async (cache: string): Promise<Tab> => {
  const root = locate(cache)
  if (root === undefined) throw new Missing("Chromium is missing. Run: npm run servers -- install")
  const profile = mkdtempSync(join(tmpdir(), "artifact-gc-chromium-"))
  const child = spawn(
    join(root, program),
    [
      // The sandbox needs rights that a container lacks. The page is the tests' own.
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
      ...["--hide-scrollbars", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "about:blank"]
    ],
    {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
      env: root === "/" ? process.env : libraryEnv(root)
    }
  )
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
  const close = async () => {
    child.kill("SIGKILL")
    await ended
    await removeSettled(profile)
  }
  try {
    const { heard, send } = protocol(child)
    const { targetId } = await send("Target.createTarget", { url: "about:blank" })
    const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true })
    const page: Tab["send"] = (method, params) => send(method, params, sessionId)
    await page("Page.enable")
    return {
      send: page,
      open: async (url) => {
        const loaded = heard("Page.loadEventFired")
        await page("Page.navigate", { url })
        await loaded
      },
      close
    }
  } catch (error) {
    await close()
    throw error
  }
}
