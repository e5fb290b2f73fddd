/** The difference between the store's clock and this process's clock. */
import { Clock, Effect, Option } from "effect"
import type { StorageError } from "../../domain/StorageError.ts"
import type { Bucket } from "./Bucket.ts"
import { misbehaved } from "./Failure.ts"

const second = 1000

/** Implements `Storage.skew` for a bucket. */
export const skew = Effect.fn("S3.skew")(function* ({
  calls,
  name,
  requests
}: Bucket): Effect.fn.Return<Option.Option<number>, StorageError> {
  const { answeredAt, date, sentAt } = yield* requests.repeated({
    operation: "probe",
    subject: name,
    send: (signal) => calls.date(now, signal)
  })
  const toldAt = Date.parse(date ?? "")
  if (Number.isNaN(toldAt)) return yield* misbehaved("probe", name, "the answer has no readable date")
  return Option.some(ahead(toldAt, (sentAt + answeredAt) / 2))
})

/** Implements `Storage.server` for a bucket. */
export const serverOf = ({ calls, name, requests }: Bucket): Effect.Effect<string | null, StorageError> =>
  requests
    .repeated({ operation: "probe", subject: name, send: (signal) => calls.date(now, signal) })
    .pipe(Effect.map(({ server }) => server ?? null))

/** The store's clock is real, so it is compared with the real clock even if `TestClock` governs decisions. */
const processClock = Clock.Clock.defaultValue()

const now = () => processClock.currentTimeMillisUnsafe()

/**
 * Returns how far a clock that shows the whole second `toldAt` is ahead of a clock that shows `at`. The
 * fraction of `toldAt` is unknown, so this is the least possible difference. Less than a second is 0.
 */
const ahead = (toldAt: number, at: number): number => {
  const least = at < toldAt ? toldAt - at : at >= toldAt + second ? toldAt + second - at : 0
  return Math.abs(least) < second ? 0 : Math.round(least)
}
