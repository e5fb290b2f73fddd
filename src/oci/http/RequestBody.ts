/**
 * The body of a request as a stream, with limits for its client's silence and slowness.
 *
 * Reads Node's request itself after the first bytes. A time-out for each read took a fifth of a push's processor time; here
 * one fiber watches the whole body.
 */
import { IncomingMessage } from "node:http"
import { finished } from "node:stream"
import {
  Array as Arr,
  Cause,
  Channel,
  Clock,
  Deferred,
  Duration,
  Effect,
  Exit,
  type Pull,
  Scope,
  Stream
} from "effect"
import type { HttpServerRequest } from "effect/http"
import {
  type Body,
  type BodyFailure,
  BodyIdle,
  BodyInCrumbs,
  type BodyReader,
  BodyTooSlow,
  BodyTorn
} from "./Bodies.ts"
import { crumbsIn, type FramingBudget } from "./Crumbs.ts"
import { type MinimumRate, type Pace, paceOf } from "./MinimumRate.ts"
import { type Transfer, TransferShed } from "./Places.ts"
import { steadyMillis } from "./Steady.ts"

type Chunks = Arr.NonEmptyReadonlyArray<Uint8Array>

type BodyPull = Pull.Pull<Chunks, BodyFailure>

/** How slow the client of a body may be. */
export interface BodyLimits {
  /** The longest time without a byte. */
  readonly idleTimeout: Duration.Duration
  /** The least average rate. */
  readonly minimumRate: MinimumRate
  /** Bounds bodies in tiny chunks. */
  readonly framing: FramingBudget
}

/** What watches one body. */
interface Watch {
  readonly limits: BodyLimits
  readonly pace: Pace
  readonly transfer: Transfer | null
}

/**
 * Returns the reader of a request's body. Its limits count the time while the client is waited for, and not that while the store
 * is, or a place.
 */
export const bodyOf =
  (request: HttpServerRequest.HttpServerRequest, limits: BodyLimits): BodyReader =>
  (transfer): Body => {
    const { source } = request
    const bytes = Stream.mapError(request.stream, (cause) => new BodyTorn({ cause }))
    const watch: Watch = { limits, pace: paceOf(limits.minimumRate), transfer }
    const channel = Channel.fromTransform((_: unknown, scope) => {
      let rest: BodyPull | null = null
      // The adapter lets the client send its body (100 Continue) at the first read of its own stream.
      const begun: BodyPull = Effect.gen(function* () {
        const first = yield* Scope.fork(scope)
        const pull = timed(yield* Scope.provide(Stream.toPull(bytes), first), watch)
        if (!(source instanceof IncomingMessage)) {
          rest = pull
          return yield* pull
        }
        const chunks = yield* pull
        yield* Scope.close(first, Exit.void)
        rest = yield* Scope.provide(readOn(source, watch), scope)
        return chunks
      })
      return Effect.succeed(Effect.suspend(() => rest ?? begun))
    })
    return Stream.fromChannel(channel)
  }

const lengthOf = (chunks: Chunks): number => chunks.reduce((sum, { length }) => sum + length, 0)

/** Returns the longest wait for the next byte, and what it fails with afterwards. */
const patience = ({ limits, pace }: Watch, now: number) => {
  const idleMillis = Duration.toMillis(limits.idleTimeout)
  const slowMillis = pace.millisLeft(now)
  return slowMillis < idleMillis
    ? { millis: slowMillis, failure: new BodyTooSlow({ rate: limits.minimumRate }) }
    : { millis: idleMillis, failure: new BodyIdle({ idleTimeout: limits.idleTimeout }) }
}

const withPlace = ({ transfer }: Watch, pull: BodyPull): BodyPull =>
  transfer === null || transfer.holds() ? pull : Effect.andThen(transfer.take, pull)

const moved = ({ pace, transfer }: Watch, bytes: number, now: number): void => {
  pace.moved(bytes, now)
  transfer?.moved(bytes)
}

/** Reads from the stream of any server. */
const timed = (pull: BodyPull, watch: Watch): BodyPull => {
  const reading: BodyPull = Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const begun = steadyMillis(clock)
    watch.pace.waits(begun)
    watch.transfer?.waits()
    const { failure, millis } = patience(watch, begun)
    const shed = yield* whenEnded(watch.transfer)
    const chunks = yield* Effect.raceFirst(
      Effect.timeoutOrElse(pull, { duration: millis, orElse: () => Effect.fail(failure) }),
      shed
    )
    moved(watch, lengthOf(chunks), steadyMillis(clock))
    return chunks
  })
  return Effect.suspend(() => withPlace(watch, reading))
}

/** Returns what fails once a transfer is ended because it is slow. */
const whenEnded = (transfer: Transfer | null) =>
  Effect.sync(() => {
    const ended = Deferred.makeUnsafe<never, TransferShed>()
    if (transfer !== null)
      transfer.onLost = (isEnded) => {
        if (isEnded) Deferred.doneUnsafe(ended, Effect.fail(new TransferShed()))
      }
    return Deferred.await(ended)
  })

/** Reads on from a request whose first bytes were read. Stops listening when the scope closes. */
const readOn = Effect.fnUntraced(function* (source: IncomingMessage, watch: Watch) {
  const { limits, pace, transfer } = watch
  const clock = yield* Clock.Clock
  const tollOf = crumbsIn(source, limits.framing)
  let end: Exit.Exit<never, BodyFailure | Cause.Done> | null = null
  let waitsSince: number | null = null
  let wake = () => {}
  const endWith = (exit: Exit.Exit<never, BodyFailure | Cause.Done>) => {
    end ??= exit
    wake()
  }
  /** Node would parse on into the buffer of the request. It then reads only while the next bytes are waited for. */
  let isSlow = false
  const isChunked = source.headers["transfer-encoding"] !== undefined
  const wakeWhenParsed = onceParsed(() => wake())
  const onReadable = () => {
    if (isSlow) source.socket.pause()
    if (isChunked) wakeWhenParsed()
    else wake()
  }
  source.on("readable", onReadable)
  const ignoreEnd = finished(source, { writable: false }, (cause) =>
    endWith(cause ? Exit.fail(new BodyTorn({ cause })) : Exit.fail(Cause.Done()))
  )
  if (transfer !== null)
    transfer.onLost = (isEnded) => {
      if (isEnded) endWith(Exit.fail(new TransferShed()))
    }
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      source.off("readable", onReadable)
      if (isSlow && end !== null) source.socket.resume()
      ignoreEnd()
    })
  )
  const reading: BodyPull = Effect.suspend(() => {
    const chunks = available(source)
    if (Arr.isArrayNonEmpty(chunks)) {
      const bytes = lengthOf(chunks)
      const now = steadyMillis(clock)
      moved(watch, bytes, now)
      const { isRefused, pauseMillis } = tollOf(bytes, now)
      if (pauseMillis === 0 && !isRefused) return Effect.succeed(chunks)
      return Effect.andThen(
        pausing(pauseMillis),
        isRefused ? Effect.fail(new BodyInCrumbs()) : Effect.succeed(chunks)
      )
    }
    if (end !== null) return end
    return waiting
  })
  const pausing = (millis: number) =>
    Effect.suspend(() => {
      isSlow = true
      source.socket.pause()
      transfer?.waits()
      return Effect.raceFirst(Effect.sleep(millis), ended)
    })
  const ended = Effect.callback<void>((resume) => {
    wake = () => {
      if (end !== null) resume(Effect.void)
    }
  })
  const pull: BodyPull = Effect.suspend(() => withPlace(watch, reading))
  const waiting: BodyPull = Effect.callback((resume) => {
    waitsSince = steadyMillis(clock)
    pace.waits(waitsSince)
    wake = () => {
      wake = () => {}
      pace.rests(steadyMillis(clock))
      waitsSince = null
      resume(pull)
    }
    if (isSlow) source.socket.resume()
    transfer?.waits()
  })
  yield* Effect.forkScoped(
    watching(watch, { endWith, isOver: () => end !== null, waitsSince: () => waitsSince })
  )
  return pull
})

/**
 * Returns a function that calls another once all that the socket has read is parsed. Node tells of each chunk before it parses the
 * next, so until then the socket has read up to 64 KiB more than the request has, and all of it would count as framing.
 */
const onceParsed = (then: () => void): (() => void) => {
  let isPlanned = false
  return () => {
    if (isPlanned) return
    isPlanned = true
    setImmediate(() => {
      isPlanned = false
      then()
    })
  }
}

/** Ends a body whose client is silent or slow. */
const watching = Effect.fnUntraced(function* (
  watch: Watch,
  body: {
    readonly endWith: (exit: Exit.Exit<never, BodyFailure>) => void
    readonly isOver: () => boolean
    /** Returns since when the client is waited for, or null. */
    readonly waitsSince: () => number | null
  }
) {
  const { idleTimeout } = watch.limits
  const idleMillis = Duration.toMillis(idleTimeout)
  const clock = yield* Clock.Clock
  while (!body.isOver()) {
    const now = steadyMillis(clock)
    const since = body.waitsSince()
    const idleLeft = since === null ? idleMillis : since + idleMillis - now
    const { failure, millis } = patience(watch, now)
    if (since !== null && idleLeft <= 0) return body.endWith(Exit.fail(new BodyIdle({ idleTimeout })))
    if (since !== null && millis <= 0) return body.endWith(Exit.fail(failure))
    yield* Effect.sleep(Math.max(1, Math.min(idleLeft, millis)))
  }
})

const available = (source: IncomingMessage): Array<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  for (let chunk = source.read(); chunk !== null; chunk = source.read()) chunks.push(chunk)
  return chunks
}
