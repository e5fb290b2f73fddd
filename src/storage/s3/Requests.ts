/**
 * How a request to the store is sent: on how many connections, for how long, and how often again.
 *
 * Every wait uses Effect's `Clock`. The wait for a connection does not count towards a request's time limit.
 */
import { Duration, Effect, Schedule, type Scope, Semaphore } from "effect"
import type { StorageError } from "../../domain/StorageError.ts"
import type { Progress } from "./Body.ts"
import { timedOut } from "./Failure.ts"

/** Limits how requests are sent. `S3Options` explains each. */
export interface Limits {
  /** The longest wait for an answer, or for the next bytes of one. */
  readonly requestTimeout: Duration.Duration
  /** The most connections at once, at least {@link connectionsMin}. */
  readonly maxConnections: number
  /** How often a request is repeated. */
  readonly retries: number
  /** The time after which no request is repeated. */
  readonly retryWithin: Duration.Duration
}

/** Describes one request. */
export interface Request<A> {
  /** The operation that a failure names. */
  readonly operation: StorageError["operation"]
  /** The object, prefix or bucket that a failure names. */
  readonly subject: string
  /** Sends the request. Rejects with the client's error. */
  readonly send: (signal: AbortSignal) => Promise<A>
  /** The length of its body in bytes, which adds to its time limit. Default 0. */
  readonly sizeBytes?: number
  /** The factor of its time limit. Default 1. */
  readonly patience?: number
  /** Called each time the store asks for fewer requests. */
  readonly onThrottled?: (() => void) | undefined
}

/** Sends requests. Each method fails with the translated error of the client. */
export interface Requests {
  /** Sends a request once. Fails with `TimedOut` if no answer arrives in time. */
  readonly once: <A>(request: Request<A>) => Effect.Effect<A, StorageError>
  /** Sends a request and repeats it while its failure is retryable. */
  readonly repeated: <A>(request: Request<A>) => Effect.Effect<A, StorageError>
  /** Acts like `repeated`, for an answer that is read later. Keeps the connection until the scope closes. */
  readonly lasting: <A>(
    request: Request<A>,
    release: (answer: A) => void
  ) => Effect.Effect<A, StorageError, Scope.Scope>
  /**
   * Sends a request once whose body is a stream. There is no time limit while the body or the store makes
   * progress. The store may stall for `requestTimeout`, or up to twice as long, because progress is checked
   * at that interval.
   */
  readonly streamed: <A>(request: Request<A>, progress: Progress) => Effect.Effect<A, StorageError>
}

/** The fewest connections: one for a put, one for the `get` that is its body, and one for short requests. */
export const connectionsMin = 3

/**
 * Returns how many streamed puts have connections, beside `max` for all other requests. With 50 it is 75: sixteen bodies that are
 * received and 48 that were overtaken, and some for other writers.
 */
export const streamedMax = (max: number): number => Math.ceil(max * 1.5)

/** The rate that a body in memory is given time for: 2 Mbit/s. A slower connection is of no use here. */
const bytesPerSecondMin = 256 * 1024

/** Short compared with the recovery of an overloaded store, long compared with a lost packet. */
const backoff = Duration.millis(200)

/** A longer pause would not help the store more, and would only delay the sweep. */
const backoffMax = Duration.seconds(5)

/** Builds the sender of requests. `translate` turns a rejection of the client into a failure. */
export const make = Effect.fnUntraced(function* (
  limits: Limits,
  translate: (operation: StorageError["operation"], subject: string, cause: unknown) => StorageError
) {
  const { bodies, lasting, sockets } = yield* connections(limits.maxConnections)
  const { send, timed } = sender(limits, translate)
  const schedule = Schedule.min([Schedule.exponential(backoff), Schedule.spaced(backoffMax)]).pipe(
    Schedule.jittered,
    Schedule.upTo({ times: limits.retries, duration: limits.retryWithin })
  )
  const again = <A>(attempt: Effect.Effect<A, StorageError>) =>
    Effect.retry(attempt, { schedule, while: (error) => error.isRetryable })

  const requests: Requests = {
    once: (request) => sockets.withPermits(1)(timed(request)),
    repeated: (request) => again(sockets.withPermits(1)(timed(request))),
    lasting: (request, release) =>
      Effect.andThen(
        Effect.andThen(Semaphore.takeScoped(lasting, 1), Semaphore.takeScoped(sockets, 1)),
        Effect.acquireRelease(again(timed(request)), (answer) => Effect.sync(() => release(answer)), {
          interruptible: true
        })
      ),
    streamed: (request, progress) =>
      Effect.raceFirst(send(request), stalled(request, progress, limits.requestTimeout)).pipe(
        bodies.withPermits(1)
      )
  }
  return requests
})

/** Divides the connections, so that no kind of request can take all of them. */
const connections = Effect.fnUntraced(function* (max: number) {
  const sockets = yield* Semaphore.make(max)
  // A slow reader may keep its connection for hours. A quarter of all connections is left for short requests.
  const lastingMax = max - Math.ceil(max / 4)
  const lasting = yield* Semaphore.make(lastingMax)
  // The body of a streamed put may be a `get` from this store, or a client that drips for hours. With connections of their own,
  // such puts cannot take those of their bodies, nor those of other requests.
  const bodies = yield* Semaphore.make(streamedMax(max))
  return { sockets, lasting, bodies }
})

const sender = (
  limits: Limits,
  translate: (operation: StorageError["operation"], subject: string, cause: unknown) => StorageError
) => {
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
  return { send, timed }
}

/** Fails once neither the body nor the store has made progress for `patience`. */
const stalled = Effect.fnUntraced(function* (
  request: Request<unknown>,
  progress: Progress,
  patience: Duration.Duration
) {
  while (true) {
    const before = progress.chunks
    yield* Effect.sleep(patience)
    if (progress.chunks !== before || progress.isWaitingForBody) continue
    return yield* noAnswer(
      request,
      `the store neither took bytes nor answered for ${Duration.format(patience)}`
    )
  }
})

const noAnswer = (request: Request<unknown>, what: string) =>
  timedOut(request.operation, request.subject, what)
