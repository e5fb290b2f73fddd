/**
 * An open loop: work arrives independently of earlier work, as from independent clients. Latency counts from
 * the intended arrival, so that delays before the start of the work are included.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { random } from "../harness/Blobs.ts"

/** Draws random arrival times in milliseconds from the beginning, on average `perSecond` a second. */
export const arrivalTimes = (seed: number, perSecond: number, seconds: number): ReadonlyArray<number> => {
  const next = random(seed)
  const all: Array<number> = []
  for (let at = 0; ; ) {
    at -= (Math.log(1 - next()) * 1000) / perSecond
    if (at >= seconds * 1000) return all
    all.push(at)
  }
}

/** Does `work` at each instant. Returns the milliseconds from each instant to the end of its work. */
export const latencies = async (
  instants: ReadonlyArray<number>,
  work: (index: number) => Promise<void>
): Promise<ReadonlyArray<number>> => {
  const began = performance.now()
  const done: Array<Promise<number>> = []
  for (const [index, at] of instants.entries()) {
    const early = at - (performance.now() - began)
    if (early > 0) await sleep(early)
    done.push(work(index).then(() => performance.now() - began - at))
  }
  return Promise.all(done)
}

/** Returns the smallest value that a `share` (0 to 1) of the values does not exceed. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
