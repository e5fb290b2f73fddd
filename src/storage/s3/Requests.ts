/**
 * How a request to the store is made: on how many connections, for how long, and how often again.
 *
 * All waiting is on Effect's `Clock`. Time spent waiting for a connection is not held against the store.
 */
import { Duration, Effect, Schedule, type Scope, Semaphore } from "effect"
import type { StorageError } from "../../domain/StorageError.ts"
import type { Progress } from "./Body.ts"
import { timedOut } from "./Failure.ts"

export interface Limits {
  readonly requestTimeout: Duration.Duration
  /** At least {@link connectionsMin}. */
  readonly maxConnections: number
  readonly retries: number
  readonly retryWithin: Duration.Duration
}

export interface Request<A> {
  readonly operation: StorageError["operation"]
  readonly subject: string
  /** Sends it; rejects with whatever the client rejects with. */
  readonly send: (signal: AbortSignal) => Promise<A>
  /** How many bytes it carries, which need time too; default none. */
  readonly sizeBytes?: number
  /** How many times as long as others it may take, default 1. */
  readonly patience?: number
  /** Told whenever the store asked to slow down. */
  readonly onThrottled?: (() => void) | undefined
}

export interface Requests {
  /** Sends it once. Fails with `TimedOut` when the answer is not there in time. */
  readonly once: <A>(request: Request<A>) => Effect.Effect<A, StorageError>
  /** Sends it again while that may help. */
  readonly repeated: <A>(request: Request<A>) => Effect.Effect<A, StorageError>
  /** Like `repeated`, for an answer that is read later: keeps the connection's place until the scope closes. */
  readonly held: <A>(
    request: Request<A>,
    release: (answer: A) => void
  ) => Effect.Effect<A, StorageError, Scope.Scope>
  /**
   * Sends once a request whose body comes from elsewhere. It has time as long as the body's owner or the store
   * moves; the store may stand still for `requestTimeout` at most (up to twice that, we look now and then).
   */
  readonly streamed: <A>(request: Request<A>, progress: Progress) => Effect.Effect<A, StorageError>
}

/** One for a put, one for the `get` that is its body, and one for short requests. */
export const connectionsMin = 3

/** A body in memory has time for this rate, on top of the rest: 2 MBit/s, below which nothing here is of use. */
const bytesPerSecondMin = 256 * 1024

/** Short beside what a struggling store needs, long beside a lost packet. */
const backoff = Duration.millis(200)

/** Longer pauses do not spare the store more, they only make a sweep late. */
const backoffMax = Duration.seconds(5)

export const make = Effect.fnUntraced(function* (
  limits: Limits,
  translate: (operation: StorageError["operation"], subject: string, cause: unknown) => StorageError
) {
  const sockets = yield* Semaphore.make(limits.maxConnections)
  // Slow readers may keep their connections for hours. A quarter of all is out of their reach, for short requests.
  const lastingMax = limits.maxConnections - Math.ceil(limits.maxConnections / 4)
  const lasting = yield* Semaphore.make(lastingMax)
  // The body of a streamed put may itself be a `get` on this store. If puts took all connections, they would all
  // wait for their bodies for ever; half of the lasting ones always leaves each its own.
  const bodies = yield* Semaphore.make(Math.floor(lastingMax / 2))
  const schedule = Schedule.min([Schedule.exponential(backoff), Schedule.spaced(backoffMax)]).pipe(
    Schedule.jittered,
    Schedule.upTo({ times: limits.retries, duration: limits.retryWithin })
  )
  const again = <A>(attempt: Effect.Effect<A, StorageError>) =>
    Effect.retry(attempt, { schedule, while: (error) => error.isRetryable })

  const send = <A>({ operation, subject, send, onThrottled }: Request<A>) =>
    Effect.tryPromise({
      try: send,
      catch: (cause) => {
        const error = translate(operation, subject, cause)
        if (error.reason === "Throttled") onThrottled?.()
        return error
      }
    })

  const timed = <A>(request: Request<A>) => {
    const seconds = (request.sizeBytes ?? 0) / bytesPerSecondMin
    const duration = Duration.sum(
      Duration.times(limits.requestTimeout, request.patience ?? 1),
      Duration.seconds(seconds)
    )
    return Effect.timeoutOrElse(send(request), {
      duration,
      orElse: () => Effect.fail(noAnswer(request, `no answer within ${Duration.format(duration)}`))
    })
  }

  const stalled = Effect.fnUntraced(function* (request: Request<unknown>, progress: Progress) {
    while (true) {
      const before = progress.chunks
      yield* Effect.sleep(limits.requestTimeout)
      if (progress.chunks !== before || progress.isWaitingForBody) continue
      return yield* noAnswer(
        request,
        `the store neither took bytes nor answered for ${Duration.format(limits.requestTimeout)}`
      )
    }
  })

  const requests: Requests = {
    once: (request) => sockets.withPermits(1)(timed(request)),
    repeated: (request) => again(sockets.withPermits(1)(timed(request))),
    held: (request, release) =>
      Effect.andThen(
        Effect.andThen(Semaphore.takeScoped(lasting, 1), Semaphore.takeScoped(sockets, 1)),
        Effect.acquireRelease(again(timed(request)), (answer) => Effect.sync(() => release(answer)), {
          interruptible: true
        })
      ),
    streamed: (request, progress) =>
      Effect.raceFirst(send(request), stalled(request, progress)).pipe(
        sockets.withPermits(1),
        lasting.withPermits(1),
        bodies.withPermits(1)
      )
  }
  return requests
})

const noAnswer = (request: Request<unknown>, what: string) =>
  timedOut(request.operation, request.subject, what)
