/** One time for the whole world, and a clock for each process that may be off. */
import { type Clock, Duration, Effect } from "effect"

/** When every simulation begins. */
export const beginning = Date.parse("2026-11-22T00:00:00.000Z")

interface Sleeper {
  readonly dueAt: number
  readonly wake: () => void
  readonly owner: object
}

export interface Time {
  readonly now: () => number
  /** Lets `millis` pass at once, as a suspended machine sees it, and wakes whoever slept for less. */
  readonly pass: (millis: number) => void
  /** When the first sleeper wakes; null when nobody sleeps. */
  readonly nextWakeAt: () => number | null
  /** A clock ahead of the world's by what `ahead` says at the moment; `owner` is who sleeps on it. */
  readonly clock: (owner: object, ahead: () => number) => Clock.Clock
  /** Whoever sleeps on the clock of `owner` never wakes. */
  readonly forget: (owner: object) => void
}

export const make = (): Time => {
  let now = beginning
  let sleepers: Array<Sleeper> = []

  const sleep = (owner: object, duration: Duration.Duration) =>
    Effect.callback<void>((resume) => {
      const sleeper = { dueAt: now + Duration.toMillis(duration), wake: () => resume(Effect.void), owner }
      sleepers.push(sleeper)
      return Effect.sync(() => {
        sleepers = sleepers.filter((other) => other !== sleeper)
      })
    })

  return {
    now: () => now,
    pass: (millis) => {
      now += millis
      const due = sleepers.filter(({ dueAt }) => dueAt <= now).sort((a, b) => a.dueAt - b.dueAt)
      if (due.length === 0) return
      sleepers = sleepers.filter(({ dueAt }) => dueAt > now)
      for (const { wake } of due) wake()
    },
    nextWakeAt: () =>
      sleepers.reduce<number | null>(
        (first, { dueAt }) => (first === null ? dueAt : Math.min(first, dueAt)),
        null
      ),
    clock: (owner, ahead) => {
      const millis = () => now + ahead()
      const nanos = () => BigInt(millis()) * 1_000_000n
      const elapsed = () => BigInt(now - beginning) * 1_000_000n
      return {
        currentTimeMillisUnsafe: millis,
        currentTimeMillis: Effect.sync(millis),
        currentTimeNanosUnsafe: nanos,
        currentTimeNanos: Effect.sync(nanos),
        monotonicTimeNanosUnsafe: elapsed,
        monotonicTimeNanos: Effect.sync(elapsed),
        sleep: (duration) => sleep(owner, duration)
      }
    },
    forget: (owner) => {
      if (sleepers.length > 0) sleepers = sleepers.filter((sleeper) => sleeper.owner !== owner)
    }
  }
}
