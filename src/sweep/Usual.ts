/**
 * What is usual for a catalogue, by what its breakers noted in the last month. Two questions, both about what remains:
 *
 * - May so much be deleted at once, because it is so on other days, too? A cache that evicts a third of itself every
 *   night and fetches it again leaves as much after each night. History never excuses a night that leaves less.
 * - Has the catalogue shrunk by half, in parts that were each too small for a question? Parts that are fetched again do
 *   not shrink it.
 */
import { type BreakerDay, dayOf, type Exposure, type Stock } from "../database/Database.ts"
import type { SweepSettings } from "./Settings.ts"

/** A burst is usual after as many days with one. One confirmation must not silence the next mistake. */
const usualDays = 3

/** How long a burst counts: a weekly job has three of them within. */
const burstMillis = 22 * 24 * 60 * 60 * 1000

/** As much of what bursts usually leave must remain. */
const usualRemainder = 0.8

/** By how much a catalogue may shrink in a month without a question; more if GC_BREAKER_PERCENT allows more at once. */
const shrinkShare = 0.5

/** Returns what would remain. */
const remainderOf = ({ blobs, bytes, totalBlobs, totalBytes }: Exposure): Stock => ({
  blobs: totalBlobs - blobs,
  bytes: totalBytes - bytes
})

/** Returns the bursts that count at `at`, the newest first. */
const burstsAt = (history: ReadonlyArray<BreakerDay>, at: number): ReadonlyArray<Exposure> =>
  history.flatMap(({ burst, day }) => (burst !== null && day > dayOf(at) - burstMillis ? [burst] : []))

/** Returns whether bursts that leave as little were let through on enough other days. */
export const isUsual = (history: ReadonlyArray<BreakerDay>, at: number, exposure: Exposure): boolean => {
  const bursts = burstsAt(history, at)
  if (bursts.length < usualDays) return false
  const left = remainderOf(exposure)
  const usual = bursts.map(remainderOf)
  return (
    left.blobs > 0 &&
    left.blobs >= usualRemainder * Math.max(...usual.map(({ blobs }) => blobs)) &&
    left.bytes >= usualRemainder * Math.max(...usual.map(({ bytes }) => bytes))
  )
}

/** Returns the days that count towards a loss in parts: those after the day of the last confirmation. */
const since = (history: ReadonlyArray<BreakerDay>, confirmedAt: number | null) =>
  history.filter(({ day }) => confirmedAt === null || day > dayOf(confirmedAt))

/** Returns the most that there was. */
const peakOf = (days: ReadonlyArray<BreakerDay>): Stock => ({
  blobs: Math.max(0, ...days.map(({ total }) => total.blobs)),
  bytes: Math.max(0, ...days.map(({ total }) => total.bytes))
})

/** Returns what was deleted. */
const lossOf = (days: ReadonlyArray<BreakerDay>): Stock => ({
  blobs: days.reduce((sum, { lost }) => sum + lost.blobs, 0),
  bytes: days.reduce((sum, { lost }) => sum + lost.bytes, 0)
})

/**
 * Returns whether the totals must be read although few are about to be deleted: once a day, and where the days before add
 * up to half of the most that there was.
 */
export const mayHaveShrunk = (
  settings: SweepSettings,
  history: ReadonlyArray<BreakerDay>,
  confirmedAt: number | null,
  at: number,
  exposure: Exposure
): boolean => {
  if (!history.some(({ day, total }) => day === dayOf(at) && total.blobs > 0)) return true
  const days = since(history, confirmedAt)
  const loss = lossOf(days).blobs + exposure.blobs
  return loss > settings.breakerBlobs && loss > shareOf(settings) * peakOf(days).blobs
}

const shareOf = ({ breakerPercent }: SweepSettings): number => Math.max(shrinkShare, breakerPercent / 100)

/** Returns whether deletions have halved the catalogue since the last confirmation, within a month. */
export const hasShrunk = (
  settings: SweepSettings,
  history: ReadonlyArray<BreakerDay>,
  confirmedAt: number | null,
  exposure: Exposure
): boolean => {
  const days = since(history, confirmedAt)
  const peak = peakOf(days)
  const loss = lossOf(days)
  const left = remainderOf(exposure)
  const share = shareOf(settings)
  const isHalved = (of: keyof Stock) =>
    peak[of] > 0 && left[of] < (1 - share) * peak[of] && loss[of] + exposure[of] > share * peak[of]
  return (
    exposure.blobs > 0 &&
    exposure.totalBlobs > 0 &&
    loss.blobs + exposure.blobs > settings.breakerBlobs &&
    (isHalved("blobs") || isHalved("bytes"))
  )
}

const dateOf = (day: number): string => new Date(day).toISOString().slice(0, 10)

const share = (part: number, whole: number): string =>
  whole === 0 ? `${part}` : `${part} of ${whole} (${((100 * part) / whole).toFixed(1)} %)`

/** Says in a sentence what compares with an exposure. */
export const describe = (
  history: ReadonlyArray<BreakerDay>,
  confirmedAt: number | null,
  exposure: Exposure
): string => {
  const peak = peakOf(since(history, confirmedAt))
  const loss = lossOf(since(history, confirmedAt))
  const left = remainderOf(exposure)
  const shrunk =
    exposure.totalBlobs > 0 && loss.blobs > 0 && left.blobs < peak.blobs
      ? `; of ${peak.blobs} in the last 30 days ${left.blobs} would remain`
      : ""
  const bursts = history.flatMap(({ burst, day }) => (burst === null ? [] : [{ ...burst, day }]))
  const largest = bursts.reduce<(typeof bursts)[number] | null>(
    (most, burst) => (most === null || burst.blobs > most.blobs ? burst : most),
    null
  )
  const usual =
    largest === null
      ? "Nothing like it was allowed here in the last 30 days"
      : `The most that was allowed here in the last 30 days is ${share(largest.blobs, largest.totalBlobs)} on ${dateOf(largest.day)}, on ${bursts.length} day${bursts.length === 1 ? "" : "s"} in all`
  return `${usual}${shrunk}`
}
