/** How far the store's clock is from ours. */
import { Clock, Effect, Option } from "effect"
import type { StorageError } from "../../domain/StorageError.ts"
import type { Bucket } from "./Bucket.ts"
import { misbehaved } from "./Failure.ts"

const second = 1000

/** `Storage.skew` for a bucket. */
export const skew = Effect.fn("S3.skew")(function* ({
  calls,
  name,
  requests
}: Bucket): Effect.fn.Return<Option.Option<number>, StorageError> {
  const now = () => processClock.currentTimeMillisUnsafe()
  const { answeredAt, date, sentAt } = yield* requests.repeated({
    operation: "probe",
    subject: name,
    send: (signal) => calls.date(now, signal)
  })
  const toldAt = Date.parse(date ?? "")
  if (Number.isNaN(toldAt)) return yield* misbehaved("probe", name, "the answer has no date that can be read")
  return Option.some(ahead(toldAt, (sentAt + answeredAt) / 2))
})

/** The store's clock is real, so it is compared with the real one, also where `TestClock` governs decisions. */
const processClock = Clock.Clock.defaultValue()

/**
 * How far a clock that shows the whole second `toldAt` is ahead of one that shows `at`: the least that it can be,
 * since the fraction is cut off, and 0 below a second.
 */
const ahead = (toldAt: number, at: number): number => {
  const least = at < toldAt ? toldAt - at : at >= toldAt + second ? toldAt + second - at : 0
  return Math.abs(least) < second ? 0 : Math.round(least)
}
