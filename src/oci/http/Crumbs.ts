/**
 * Bodies in chunks of a few bytes. Node's parser takes as long for a chunk of one byte as for one of 64 KiB, about 2.5 µs, on the
 * only thread. So the framing of such bodies is read at a bounded rate for all of them together, and bodies that are mostly
 * framing are refused.
 */
import type { IncomingMessage } from "node:http"

/** The framing that bodies in small chunks may have together. */
export interface FramingBudget {
  /** Takes bytes of framing, and returns for how long their body must then not be read, in milliseconds. */
  readonly spend: (bytes: number, now: number) => number
}

/** 13,000 chunks a second, a thirtieth of the thread. */
const framingBytesPerSecond = 64 * 1024

/** Returns the budget of a server. */
export const makeBudget = (bytesPerSecond = framingBytesPerSecond): FramingBudget => {
  let freeAt = 0
  return {
    spend: (bytes, now) => {
      freeAt = Math.max(freeAt, now) + (bytes * 1000) / bytesPerSecond
      return freeAt - now
    }
  }
}

/** A body of so little framing costs little, however small its chunks are. */
const freeBytes = 4 * 1024

/** Chunks below 42 bytes, whose framing has six. */
const smallShare = 8

/** Mostly framing: a chunk of two bytes has five of framing and more. */
const refusedShare = 1.5

/** A body that is mostly framing may have so many bytes in all. */
const refusedBytes = 64 * 1024

/** The longest pause. If others have spent more, the body is refused after it. */
const pauseMaxMillis = 10_000

/** What is to be done with a body. */
export interface Toll {
  /** For how long it is not read, in milliseconds. */
  readonly pauseMillis: number
  /** Whether it is refused after the pause: a client that was refused at once would begin again at once. */
  readonly isRefused: boolean
}

const free: Toll = { pauseMillis: 0, isRefused: false }

/** Returns a function that takes the bytes of a body as they arrive, and returns what is to be done with it. */
export const crumbsIn = (
  { socket }: Pick<IncomingMessage, "socket">,
  budget: FramingBudget
): ((bytes: number, now: number) => Toll) => {
  const before = socket.bytesRead
  let body = 0
  let paid = freeBytes
  return (bytes, now) => {
    body += bytes
    const read = socket.bytesRead - before
    const framing = read - body
    if (framing <= paid || framing * smallShare <= read) return free
    const pause = budget.spend(framing - paid, now)
    paid = framing
    const isMostlyFraming = read > refusedBytes && framing > refusedShare * body
    return {
      pauseMillis: Math.min(pause, pauseMaxMillis),
      isRefused: isMostlyFraming || pause > pauseMaxMillis
    }
  }
}
