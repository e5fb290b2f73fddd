/**
 * An open loop: work arrives when it arrives, whether or not what came before is done, as it does with clients who know
 * nothing of one another. Latency counts from the intended arrival, so that nothing that was held up goes uncounted.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { random } from "../harness/Blobs.ts"

/** Instants in milliseconds from the beginning, `perSecond` a second on average, as far apart as chance would have it. */
export const arrivals = (seed: number, perSecond: number, seconds: number): ReadonlyArray<number> => {
  const next = random(seed)
  const all: Array<number> = []
  for (let at = 0; ; ) {
    at -= (Math.log(1 - next()) * 1000) / perSecond
    if (at >= seconds * 1000) return all
    all.push(at)
  }
}

/** Does `work` at each of the instants and answers how long after it each was done, in milliseconds. */
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

/** The smallest that so much of them (0 to 1) do not exceed. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
