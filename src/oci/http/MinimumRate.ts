/**
 * The least rate at which a client must move bytes: pure functions of bytes and of the time that its client was waited for.
 *
 * A transfer begins with an allowance, the bytes that the rate makes in one window. Waiting for the client uses it up, bytes
 * fill it again, and it never exceeds its begin. So a pause up to the window is allowed, and fast bytes earn no longer one.
 */
import { Duration } from "effect"

/** The least average rate over a window. */
export interface MinimumRate {
  /** The least rate, in bytes a second. */
  readonly bytesPerSecond: number
  /** How long a transfer may pause before it counts as too slow. */
  readonly window: Duration.Duration
}

/** Returns the allowance of a transfer that begins, in bytes. */
export const allowanceOf = ({ bytesPerSecond, window }: MinimumRate): number =>
  bytesPerSecond * Duration.toSeconds(window)

/** Returns the allowance after `bytes` that the client was waited for during `waitedMillis`. Negative: it is too slow. */
export const allowanceAfter = (
  rate: MinimumRate,
  left: number,
  bytes: number,
  waitedMillis: number
): number => Math.min(allowanceOf(rate), left - (rate.bytesPerSecond * waitedMillis) / 1000 + bytes)

/** Returns for how long a client may still be waited for without a byte, in milliseconds. Infinite without a rate. */
export const millisLeft = ({ bytesPerSecond }: MinimumRate, left: number): number =>
  bytesPerSecond === 0 ? Number.POSITIVE_INFINITY : Math.max(0, (left / bytesPerSecond) * 1000)

/** Watches one transfer. The caller names every instant. */
export interface Pace {
  /** Notes that the client is waited for. */
  readonly waits: (now: number) => void
  /** Notes bytes that the client moved, and that it is not waited for. */
  readonly moved: (bytes: number, now: number) => void
  /** Notes that the client is not waited for, whether or not it moved bytes. */
  readonly rests: (now: number) => void
  /** Returns how long the transfer is certainly fast enough, in milliseconds. 0: it is too slow. */
  readonly millisLeft: (now: number) => number
}

/** Makes the pace of a transfer that begins. */
export const paceOf = (rate: MinimumRate): Pace => {
  let left = allowanceOf(rate)
  let since: number | null = null
  const settle = (bytes: number, now: number) => {
    left = allowanceAfter(rate, left, bytes, since === null ? 0 : now - since)
    if (since !== null) since = now
  }
  return {
    waits: (now) => {
      since ??= now
    },
    moved: (bytes, now) => {
      settle(bytes, now)
      since = null
    },
    rests: (now) => {
      settle(0, now)
      since = null
    },
    millisLeft: (now) => {
      settle(0, now)
      return millisLeft(rate, left)
    }
  }
}
