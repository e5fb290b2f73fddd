/**
 * bcrypt on a thread of its own: 80 milliseconds of it in the event loop would stop every other client. One thread verifies one
 * password after the other, so that a flood of wrong ones takes one processor at most.
 */
import { createRequire } from "node:module"
import { Worker } from "node:worker_threads"

interface Answer {
  readonly id: number
  readonly isRight: boolean
}

interface Waiting {
  readonly resolve: (isRight: boolean) => void
  readonly reject: (cause: unknown) => void
}

/** The thread's program is text, so that it needs no file of its own in a bundle. */
const program = `
const { parentPort, workerData } = require("node:worker_threads")
const { compareSync } = require(workerData)
parentPort.on("message", ({ id, password, hash }) => {
  parentPort.postMessage({ id, isRight: compareSync(password, hash) })
})`

const waiting = new Map<number, Waiting>()
let worker: Worker | null = null
let last = 0

/** Returns whether `hash` is of this password. The thread begins with the first question, and keeps no process alive. */
export const verify = (password: string, hash: string): Promise<boolean> => {
  worker ??= start()
  const id = ++last
  const answer = new Promise<boolean>((resolve, reject) => waiting.set(id, { resolve, reject }))
  worker.postMessage({ id, password, hash })
  return answer
}

const start = (): Worker => {
  const started = new Worker(program, {
    eval: true,
    workerData: createRequire(import.meta.url).resolve("bcryptjs"),
    // Options of this process, such as loaders, are not for the thread.
    execArgv: []
  })
  started.on("message", ({ id, isRight }: Answer) => {
    waiting.get(id)?.resolve(isRight)
    waiting.delete(id)
  })
  const ended = (cause: unknown) => {
    worker = null
    for (const { reject } of waiting.values()) reject(cause)
    waiting.clear()
  }
  started.once("error", ended)
  started.once("exit", (code) => ended(new Error(`The thread that verifies passwords ended with ${code}`)))
  started.unref()
  return started
}
