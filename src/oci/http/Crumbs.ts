/**
 * Bodies in chunks of a few bytes. Node's parser takes as long for a chunk of one byte as for one of 64 KiB, about 2.5 µs, on the
 * only thread. So the framing of such bodies is read at a bounded rate for all of them together, and bodies that are mostly
 * framing are refused.
 */
import type { IncomingMessage } from "node:http"
import { shareOf } from "./ClientAddress.ts"

/** The framing that bodies in small chunks may have together. */
export interface FramingBudget {
  /** Takes bytes of a client's framing, and returns for how long its body must then not be read, in milliseconds. */
  readonly spend: (client: string, bytes: number, now: number) => number
}

/** 13,000 chunks a second, a thirtieth of the thread. */
const framingBytesPerSecond = 64 * 1024

/**
 * Returns the budget of a server. Clients in debt share it evenly, so that one cannot spend it for the others. `now` is of a clock
 * that only moves forward.
 */
export const makeBudget = (bytesPerSecond = framingBytesPerSecond): FramingBudget => {
  const debts = new Map<string, number>()
  let paidAt = Number.NEGATIVE_INFINITY
  const pay = (now: number): void => {
    let left = debts.size === 0 || now <= paidAt ? 0 : ((now - paidAt) * bytesPerSecond) / 1000
    paidAt = Math.max(paidAt, now)
    while (left > 0 && debts.size > 0) {
      const each = Math.min(left / debts.size, ...debts.values())
      left -= each * debts.size
      for (const [client, debt] of debts) {
        if (debt - each < 1) debts.delete(client)
        else debts.set(client, debt - each)
      }
    }
  }
  return {
    spend: (client, bytes, now) => {
      pay(now)
      const own = (debts.get(client) ?? 0) + bytes
      debts.set(client, own)
      let before = 0
      for (const debt of debts.values()) before += Math.min(debt, own)
      return (before * 1000) / bytesPerSecond
    }
  }
}

/** A body of so little framing costs little, however small its chunks are. */
const freeBytes = 4 * 1024

/** Chunks below 42 bytes, whose framing has six. */
const smallShare = 8

/** The end of a body is framing, and the begin of a chunk that has not arrived yet. */
const slackBytes = 64

/** Mostly framing: a chunk of two bytes has five of framing and more. */
const refusedShare = 1.5

/** A body that is mostly framing may have so many bytes in all. */
const refusedBytes = 64 * 1024

/** A client that sends a line now and then is never in debt for longer, so that its body is not stopped at each of them. */
const pauseMinMillis = 50

/** The longest pause. Proxies give up after a minute without a byte. */
const pauseMaxMillis = 30_000

/** What is to be done with a body. */
export interface Toll {
  /** For how long it is not read, in milliseconds. */
  readonly pauseMillis: number
  /** Whether it is refused after the pause: a client that was refused at once would begin again at once. */
  readonly isRefused: boolean
}

const free: Toll = { pauseMillis: 0, isRefused: false }

/**
 * Returns a function that takes the bytes of a body as they arrive, and returns what is to be done with it. A body is refused for
 * its own framing alone, never because others have spent the budget.
 */
export const crumbsIn = (
  { socket }: Pick<IncomingMessage, "socket">,
  budget: FramingBudget
): ((bytes: number, now: number) => Toll) => {
  const client = shareOf(socket.remoteAddress ?? "")
  const before = socket.bytesRead
  let body = 0
  let paid = freeBytes
  return (bytes, now) => {
    body += bytes
    const read = socket.bytesRead - before
    const framing = read - body
    if (framing <= paid || (framing - slackBytes) * smallShare <= read) return free
    const pause = budget.spend(client, framing - paid, now)
    paid = framing
    const isRefused = read > refusedBytes && framing > refusedShare * body
    if (pause < pauseMinMillis && !isRefused) return free
    return { pauseMillis: Math.min(pause, pauseMaxMillis), isRefused }
  }
}
