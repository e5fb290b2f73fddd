/**
 * Instants by which transfers are judged. The time of day is set by people and by NTP: a step of an hour would end every body that
 * is waited for, or keep slow ones for an hour.
 */
import type { Clock } from "effect"

/** Returns milliseconds since some instant, which only time moves on. Not to be compared with a time of day. */
export const steadyMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
