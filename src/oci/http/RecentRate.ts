/**
 * How fast a client has moved bytes of late. Only the time counts for which the client was waited for, never that of the store or
 * of a place.
 *
 * An average since the begin would favour a client that sends four megabytes at once and then drips: over a line of 50 kB/s, an
 * honest client would count as slower for more than a minute.
 */

/** Older bytes count less: after this time a third of what they did. */
const windowMillis = 5000

/** Watches one transfer. The caller names every instant, of a clock that only moves forward. */
export interface RecentRate {
  /** Notes that the client is waited for. */
  readonly waits: (now: number) => void
  /** Notes bytes that the client moved, and that it is not waited for. */
  readonly moved: (bytes: number, now: number) => void
  /** Notes that the client is not waited for. */
  readonly rests: (now: number) => void
  /** Returns since when the client is waited for, or null. */
  readonly waitsSince: () => number | null
  /** Returns for how long the client was waited for in all, in milliseconds. */
  readonly waitedMillis: (now: number) => number
  readonly bytesPerSecond: (now: number) => number
}

/** Makes the rate of a transfer that begins. */
export const recentRate = (): RecentRate => {
  let bytesOfLate = 0
  let waited = 0
  let since: number | null = null
  const more = (now: number) => (since === null ? 0 : now - since)
  const fading = (millis: number) => Math.exp(-millis / windowMillis)
  const rests = (now: number) => {
    bytesOfLate *= fading(more(now))
    waited += more(now)
    since = null
  }
  return {
    waits: (now) => {
      since ??= now
    },
    moved: (bytes, now) => {
      rests(now)
      bytesOfLate += bytes
    },
    rests,
    waitsSince: () => since,
    waitedMillis: (now) => waited + more(now),
    bytesPerSecond: (now) => {
      const within = Math.max(1, Math.min(windowMillis, waited + more(now)))
      return (bytesOfLate * fading(more(now)) * 1000) / within
    }
  }
}
