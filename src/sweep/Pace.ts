/**
 * The pace of a sweep: as many delete requests as the store takes, and never more than the ceilings.
 *
 * The number of requests in flight is found as TCP finds its window. It grows with every answer. It is halved when the
 * store asks to slow down, for a request or for single keys, and then grows slowly. One halving counts for all requests
 * that were in flight at that time. When one request at a time is still too many, requests wait, longer each time.
 *
 * A pace lasts one sweep: the load that a store bore at night says nothing of the day.
 */
import { Clock, type Context, Duration, Effect, Result, Semaphore } from "effect"
import type { StorageError } from "../domain/StorageError.ts"
import { isStoreTrouble } from "../storage/DeleteFailure.ts"
import type { DeleteOutcome } from "../storage/Storage.ts"
import * as PaceMetrics from "./PaceMetrics.ts"
import type { SweepSettings } from "./Settings.ts"

/** Delays requests to the store. */
export interface Pace {
  /** Runs a request that deletes `keys` keys, when a place and the ceilings allow. */
  readonly deleting: (
    keys: number,
    request: Effect.Effect<DeleteOutcome, StorageError>
  ) => Effect.Effect<DeleteOutcome, StorageError>
  /** Waits until another request that deletes nothing, such as a listing, may be sent. */
  readonly asking: Effect.Effect<void>
}

/** The settings that a pace reads. */
export type PaceSettings = Pick<
  SweepSettings,
  "deleteConcurrency" | "keysPerSecondMax" | "requestsPerSecondMax"
>

/** Requests in flight at first. Doubled with every round of answers until the store asks to slow down once. */
const windowAtFirst = 2

/** Rounds of answers before one more request is tried after a halving: the store then refuses about a tenth. */
const patience = 4

/** The wait after even one request was too many: the first, and the longest. */
const pauseMin = Duration.millis(500)
const pauseMax = Duration.seconds(30)

/** Returns the pace of a sweep that begins now. */
export const make = (settings: PaceSettings): Effect.Effect<Pace> =>
  Effect.contextWith((context) => Effect.succeed(paceOf(settings, context)))

const paceOf = (settings: PaceSettings, context: Context.Context<never>): Pace => {
  const { deleteConcurrency, keysPerSecondMax, requestsPerSecondMax } = settings
  let window = Math.min(windowAtFirst, deleteConcurrency)
  const slots = Semaphore.makeUnsafe(window)
  const metrics = PaceMetrics.make(deleteConcurrency, context)
  metrics.concurrency(window)
  const keyRate = rate(keysPerSecondMax, metrics)
  const requestRate = rate(requestsPerSecondMax, metrics)
  /** Answers since the window last grew, once it has been too wide. */
  let hasBeenTooWide = false
  let answers = 0
  /** Halvings so far. A request that began before the last halving says nothing new. */
  let halvings = 0
  let pauseMillis = 0
  let pausedUntil = 0

  const resize = (to: number) => {
    window = to
    metrics.concurrency(to)
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

  /** A request that deleted nothing causes no wait: three in a row end the phase. */
  const narrower = Effect.fnUntraced(function* (begunAt: number, mayPause: boolean, trouble: Trouble) {
    if (begunAt < halvings) return
    halvings += 1
    metrics.slowed(trouble)
    answers = 0
    hasBeenTooWide = true
    if (window === 1 && mayPause) {
      const longer = Math.max(2 * pauseMillis, Duration.toMillis(pauseMin))
      pauseMillis = Math.min(longer, Duration.toMillis(pauseMax))
      pausedUntil = (yield* Clock.currentTimeMillis) + pauseMillis
    }
    yield* resize(Math.max(1, Math.floor(window / 2)))
    yield* Effect.logInfo(
      `${troubles[trouble]}: ${window} delete ${window === 1 ? "request" : "requests"} in flight from now on${pauseMillis === 0 ? "" : `, after ${pauseMillis} ms`}.`
    )
  })

  const pause = Effect.gen(function* () {
    const left = pausedUntil - (yield* Clock.currentTimeMillis)
    if (left <= 0) return
    metrics.waited("store", left)
    yield* Effect.sleep(left)
  })

  return {
    deleting: (keys, request) =>
      slots.withPermits(1)(
        Effect.gen(function* () {
          yield* pause
          yield* requestRate(1)
          yield* keyRate(keys)
          const begunAt = halvings
          const sentAt = yield* Clock.currentTimeMillis
          const outcome = yield* Effect.result(request)
          metrics.answered(outcome, (yield* Clock.currentTimeMillis) - sentAt)
          const succeeded = Result.isSuccess(outcome)
          const achieved = succeeded && outcome.success.failed.length < keys
          const trouble = troubleIn(outcome)
          if (trouble !== null) yield* narrower(begunAt, achieved, trouble)
          else if (succeeded) yield* wider
          return yield* Effect.fromResult(outcome)
        })
      ),
    asking: requestRate(1)
  }
}

/** Returns why an answer calls for fewer requests, or null. */
const troubleIn = (outcome: Result.Result<DeleteOutcome, StorageError>): Trouble | null => {
  if (Result.isFailure(outcome)) {
    const { reason } = outcome.failure
    return reason === "Throttled" || reason === "Unavailable" ? reason : null
  }
  const { failed, throttled = 0 } = outcome.success
  if (throttled > 0 || failed.some(({ reason }) => reason === "throttled")) return "Throttled"
  return failed.some(({ reason }) => isStoreTrouble(reason)) ? "Unavailable" : null
}

const troubles = {
  Throttled: "The store asks to slow down",
  Unavailable: "The store does not answer, or is overloaded"
}

type Trouble = keyof typeof troubles

/** Waits until `count` more are within so many a second. Never waits where there is no ceiling. */
const rate = (perSecondMax: number | null, metrics: PaceMetrics.PaceMetrics) => {
  let freeAt = Number.NEGATIVE_INFINITY
  return (count: number): Effect.Effect<void> =>
    perSecondMax === null
      ? Effect.void
      : Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          const from = Math.max(now, freeAt)
          freeAt = from + (1000 * count) / perSecondMax
          if (from <= now) return
          metrics.waited("ceiling", from - now)
          yield* Effect.sleep(from - now)
        })
}
