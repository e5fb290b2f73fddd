/** A clock that a demonstration can set: the process's own, displaced. Waiting still takes its real time. */
import { Clock, Duration, Effect } from "effect"

export interface TravelClock extends Clock.Clock {
  /** Displaces the clock by `duration` from where it stands. */
  readonly travel: (duration: Duration.Duration) => void
}

/** Begins `offset` away from the present. */
export const make = (offset: Duration.Duration): TravelClock => {
  const real: Clock.Clock = Clock.Clock.defaultValue()
  let offsetMillis = Duration.toMillis(offset)
  const millis = () => real.currentTimeMillisUnsafe() + offsetMillis
  const nanos = () => real.currentTimeNanosUnsafe() + BigInt(offsetMillis) * 1_000_000n
  return {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: () => real.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: real.monotonicTimeNanos,
    sleep: (duration) => real.sleep(duration),
    travel: (duration) => {
      offsetMillis += Duration.toMillis(duration)
    }
  }
}
