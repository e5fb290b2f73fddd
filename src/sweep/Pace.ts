/**
 * How fast a sweep asks the store to delete: as fast as it takes it, and never faster than the ceilings.
 *
 * The number of requests in flight is found as TCP finds its window: it grows with every answer, is halved when the store
 * says that it is too much (SlowDown, 503, or single keys that are put off), and grows slowly from then on. What
 * is halved counts once for all requests that were under way when the store said so. When one request at a time is still
 * too much, there is a wait between them, longer each time.
 *
 * It holds nothing across sweeps: what a store had to bear in the night says nothing of the day.
 */
import { Clock, Duration, Effect, Result, Semaphore } from "effect"
import type { StorageError } from "../domain/StorageError.ts"
import { isStoreTrouble } from "../storage/DeleteFailure.ts"
import type { DeleteOutcome } from "../storage/Storage.ts"
import type { SweepSettings } from "./Settings.ts"

export interface Pace {
  /** Runs a request that deletes `keys` keys, when it is its turn. */
  readonly deleting: (
    keys: number,
    request: Effect.Effect<DeleteOutcome, StorageError>
  ) => Effect.Effect<DeleteOutcome, StorageError>
  /** Waits until another request that deletes nothing may be sent. */
  readonly asking: Effect.Effect<void>
}

export type PaceSettings = Pick<
  SweepSettings,
  "deleteConcurrency" | "keysPerSecondMax" | "requestsPerSecondMax"
>

/** In flight at first; doubled with every round of answers until the store has had enough once. */
const windowAtFirst = 2

/** Rounds of answers before one more is tried, once the store has had enough: about a tenth is then refused. */
const patience = 4

/** The wait when even one request was too much for the first time, and the longest. */
const pauseMin = Duration.millis(500)
const pauseMax = Duration.seconds(30)

export const make = Effect.fnUntraced(function* (settings: PaceSettings) {
  const { deleteConcurrency, keysPerSecondMax, requestsPerSecondMax } = settings
  let window = Math.min(windowAtFirst, deleteConcurrency)
  const slots = yield* Semaphore.make(window)
  const keyRate = yield* rate(keysPerSecondMax)
  const requestRate = yield* rate(requestsPerSecondMax)
  /** Answers since the window last grew, once it has been too wide. */
  let hasBeenTooWide = false
  let answers = 0
  /** Halvings so far: what a request that began before the last one says of the store is known. */
  let halvings = 0
  let pauseMillis = 0
  let pausedUntil = 0

  const resize = (to: number) => {
    window = to
    return slots.resize(to)
  }

  const wider = Effect.suspend(() => {
    pauseMillis = 0
    if (window >= deleteConcurrency) return Effect.void
    answers += 1
    if (hasBeenTooWide && answers < patience * window) return Effect.void
    answers = 0
    return resize(window + 1)
  })

  /** After a request that achieved nothing there is no wait: three in a row end the phase. */
  const narrower = Effect.fnUntraced(function* (begunAt: number, mayPause: boolean) {
    if (begunAt < halvings) return
    halvings += 1
    answers = 0
    hasBeenTooWide = true
    if (window === 1 && mayPause) {
      const longer = Math.max(2 * pauseMillis, Duration.toMillis(pauseMin))
      pauseMillis = Math.min(longer, Duration.toMillis(pauseMax))
      pausedUntil = (yield* Clock.currentTimeMillis) + pauseMillis
    }
    yield* resize(Math.max(1, Math.floor(window / 2)))
    yield* Effect.logInfo(
      `The store asks to slow down: ${window} delete ${window === 1 ? "request" : "requests"} in flight from now on${pauseMillis === 0 ? "" : `, after ${pauseMillis} ms`}.`
    )
  })

  const pause = Effect.gen(function* () {
    const left = pausedUntil - (yield* Clock.currentTimeMillis)
    if (left > 0) yield* Effect.sleep(left)
  })

  const pace: Pace = {
    deleting: (keys, request) =>
      slots.withPermits(1)(
        Effect.gen(function* () {
          yield* pause
          yield* requestRate(1)
          yield* keyRate(keys)
          const begunAt = halvings
          const outcome = yield* Effect.result(request)
          const succeeded = Result.isSuccess(outcome)
          const achieved = succeeded && outcome.success.failed.length < keys
          yield* isEnough(outcome) ? narrower(begunAt, achieved) : succeeded ? wider : Effect.void
          return yield* Effect.fromResult(outcome)
        })
      ),
    asking: requestRate(1)
  }
  return pace
})

const isEnough = (outcome: Result.Result<DeleteOutcome, StorageError>): boolean =>
  Result.isFailure(outcome)
    ? outcome.failure.reason === "Throttled" || outcome.failure.reason === "Unavailable"
    : (outcome.success.throttled ?? 0) > 0 ||
      outcome.success.failed.some(({ reason }) => isStoreTrouble(reason))

/** Takes `count` from so many a second, and waits for them; from without end where there is no ceiling. */
const rate = (perSecondMax: number | null) =>
  Effect.sync(() => {
    let freeAt = Number.NEGATIVE_INFINITY
    return (count: number): Effect.Effect<void> =>
      perSecondMax === null
        ? Effect.void
        : Effect.gen(function* () {
            const now = yield* Clock.currentTimeMillis
            const from = Math.max(now, freeAt)
            freeAt = from + (1000 * count) / perSecondMax
            if (from > now) yield* Effect.sleep(from - now)
          })
  })
