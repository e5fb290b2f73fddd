/** The resident memory of processes over time, and whether it stays flat. */
import { readFileSync } from "node:fs"
import type { Daemon } from "../../tools/servers/Processes.ts"
import type { Replica } from "../acceptance/Replicas.ts"

/** The memory of one process. Sizes are in megabytes. */
export interface Measured {
  readonly name: string
  /** The heap in use after the full collections of the first third after the warm-up, and of the last: medians. */
  readonly heap: { readonly first: number; readonly last: number; readonly collections: number }
  /** The median of the first quarter after the warm-up, resident. */
  readonly first: number
  /** The median of the last quarter. */
  readonly last: number
  readonly peak: number
  /** The slope of a straight line through all samples after the warm-up. */
  readonly perHour: number
}

interface Sample {
  readonly at: number
  readonly megabytes: number
}

const residentMegabytes = ({ pid }: Daemon): number | null => {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
    return kilobytes === undefined ? null : (Number(kilobytes) * 1024) / 1e6
  } catch {
    return null
  }
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const mean = (values: ReadonlyArray<number>): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

const slopeOf = (samples: ReadonlyArray<Sample>): number => {
  const atMean = mean(samples.map(({ at }) => at))
  const sizeMean = mean(samples.map(({ megabytes }) => megabytes))
  const covariance = samples.reduce(
    (sum, { at, megabytes }) => sum + (at - atMean) * (megabytes - sizeMean),
    0
  )
  return covariance / samples.reduce((sum, { at }) => sum + (at - atMean) ** 2, 0)
}

const hour = 3_600_000

/** Returns the heap in use after each full collection, in order. */
const collectionsOf = (logFile: string): ReadonlyArray<number> =>
  [
    ...readFileSync(logFile, "utf8").matchAll(
      /ms: Mark-Compact (?:\(reduce\) )?[\d.]+ \([\d.]+\) -> ([\d.]+) \(/g
    )
  ].map(([, size]) => Number(size))

/** Measures each second from now on. Call it after the warm-up. The result ends it. */
export const watch = (replicas: ReadonlyArray<Replica>): (() => ReadonlyArray<Measured>) => {
  const watched = replicas.map(({ daemon, logFile }, n) => ({
    daemon,
    logFile,
    name: `replica ${n + 1}`,
    warm: collectionsOf(logFile).length,
    samples: [] as Array<Sample>
  }))
  const timer = setInterval(() => {
    for (const { daemon, samples } of watched) {
      const megabytes = residentMegabytes(daemon)
      if (megabytes !== null) samples.push({ at: performance.now(), megabytes })
    }
  }, 1000)
  return () => {
    clearInterval(timer)
    return watched.map(({ logFile, name, samples, warm }) => {
      const sizes = samples.map(({ megabytes }) => megabytes)
      const quarter = Math.max(1, Math.floor(sizes.length / 4))
      const heaps = collectionsOf(logFile).slice(warm)
      const third = Math.max(1, Math.floor(heaps.length / 3))
      return {
        name,
        heap: {
          first: median(heaps.slice(0, third)),
          last: median(heaps.slice(-third)),
          collections: heaps.length
        },
        first: median(sizes.slice(0, quarter)),
        last: median(sizes.slice(-quarter)),
        peak: Math.max(...sizes),
        perHour: slopeOf(samples) * hour
      }
    })
  }
}
