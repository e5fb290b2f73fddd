/** The time of a simulated world, and a clock for each process, which may be off. */
import { type Clock, Duration, Effect } from "effect"

/** The instant at which every simulation begins. */
export const beginning = Date.parse("2026-11-22T00:00:00.000Z")

interface Sleeper {
  readonly dueAt: number
  readonly wake: () => void
  readonly owner: object
}

/** The time of a world. */
export interface Time {
  /** Returns the present instant. */
  readonly now: () => number
  /** Lets `millis` pass at once, as on a suspended machine, and wakes the sleepers that are due. */
  readonly pass: (millis: number) => void
  /** Returns when the first sleeper is due, or null if there is none. */
  readonly nextWakeAt: () => number | null
  /** Returns a clock that is `ahead` of the world's. `owner` identifies the process that sleeps on it. */
  readonly clock: (owner: object, ahead: () => number) => Clock.Clock
  /** Removes the sleepers of `owner`, which never wake. A fiber of it that was about to run sleeps for ever. */
  readonly forget: (owner: object) => void
}

/** Creates the time of a world, at its beginning. */
export const make = (): Time => {
  let now = beginning
  let sleepers: Array<Sleeper> = []
  const forgotten = new WeakSet<object>()

  const sleep = (owner: object, duration: Duration.Duration) =>
    Effect.callback<void>((resume) => {
      if (forgotten.has(owner)) return
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
      forgotten.add(owner)
      if (sleepers.length > 0) sleepers = sleepers.filter((sleeper) => sleeper.owner !== owner)
    }
  }
}
