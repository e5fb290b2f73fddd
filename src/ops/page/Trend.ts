/** What the sweeps of the last weeks did, as points and as the bars of a plot. */
import type { EndedSweep } from "../../status/Status.ts"
import { barMillis } from "./Axis.ts"

/** What a sweep left for later ones. */
export interface LeftPoint {
  readonly waiting: number
  readonly condemned: number
  readonly journaled: number
  readonly deadLetters: number
}

/** A sweep that ended. */
export interface TrendPoint {
  readonly sweep: string
  readonly endedAt: number
  readonly durationMillis: number
  readonly outcome: string
  readonly deleted: number
  readonly reclaimedBytes: number
  /** Null if the database did not answer at the end. */
  readonly left: LeftPoint | null
}

/** Returns a sweep as a point; null if its report cannot be read, or it only planned. */
export const pointOf = ({ endedAt, outcome, report, startedAt, sweep }: EndedSweep): TrendPoint | null => {
  if (report === null || report.dryRun) return null
  const { left, totals } = report
  return {
    sweep,
    endedAt: Date.parse(endedAt),
    durationMillis: Math.max(0, Date.parse(endedAt) - Date.parse(startedAt)),
    outcome,
    deleted: totals.deleted,
    reclaimedBytes: totals.reclaimedBytes,
    left:
      left === null
        ? null
        : {
            waiting: left.waiting,
            condemned: left.condemned,
            journaled: left.journaled,
            deadLetters: left.deadLetters
          }
  }
}

/** Sweeps that ended within a span of time. */
export interface Bar {
  readonly from: number
  readonly sweeps: number
  readonly failed: number
  readonly deleted: number
  readonly reclaimedBytes: number
  /** The longest sweep. */
  readonly durationMillis: number
  /** After the last sweep; null without one that knew. */
  readonly left: LeftPoint | null
}

/** The bars of a plot, in order and without gaps. */
export interface Bars {
  readonly from: number
  readonly to: number
  readonly width: number
  readonly bars: ReadonlyArray<Bar>
}

const shortest = 60 * 60 * 1000

const isFailed = (outcome: string): boolean => outcome === "failed" || outcome === "refused"

/** Adds up the points, which are in order, until `at`. */
export const barsOf = (points: ReadonlyArray<TrendPoint>, at: number): Bars => {
  const past = points.filter(({ endedAt }) => endedAt <= at)
  const first = Math.min(past[0]?.endedAt ?? at, at - shortest)
  const width = barMillis(at - first)
  const from = Math.floor(first / width) * width
  const to = (Math.floor(at / width) + 1) * width
  const bars = Array.from({ length: Math.round((to - from) / width) }, (_, n): Bar => {
    const begin = from + n * width
    const within = past.filter(({ endedAt }) => endedAt >= begin && endedAt < begin + width)
    const sum = (of: (point: TrendPoint) => number) => within.reduce((total, point) => total + of(point), 0)
    return {
      from: begin,
      sweeps: within.length,
      failed: within.filter(({ outcome }) => isFailed(outcome)).length,
      deleted: sum(({ deleted }) => deleted),
      reclaimedBytes: sum(({ reclaimedBytes }) => reclaimedBytes),
      durationMillis: within.reduce((most, point) => Math.max(most, point.durationMillis), 0),
      left: within.findLast(({ left }) => left !== null)?.left ?? null
    }
  })
  return { from, to, width, bars }
}
