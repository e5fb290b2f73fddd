/**
 * A clock that the demonstration sets forward: the process's own, with an offset. Sleeping takes real time.
 */
import { Clock, Duration, Effect } from "effect"

/** A clock whose time can be moved. */
export interface TravelClock extends Clock.Clock {
  /** Moves the clock forward by `duration`. */
  readonly travel: (duration: Duration.Duration) => void
}

/** Returns a clock that is `offset` away from the present. */
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
