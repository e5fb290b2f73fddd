/**
 * The body of a request as a stream, with a limit for its client's silence.
 *
 * Reads Node's request itself after the first bytes. A time-out for each read took a fifth of a push's processor time; here
 * one fiber watches the whole body.
 */
import { IncomingMessage } from "node:http"
import { finished } from "node:stream"
import { Array as Arr, Cause, Channel, Clock, Duration, Effect, Exit, type Pull, Scope, Stream } from "effect"
import type { HttpServerRequest } from "effect/http"
import { type Body, BodyIdle, BodyTorn } from "./Bodies.ts"

type Failure = BodyTorn | BodyIdle

type Chunks = Arr.NonEmptyReadonlyArray<Uint8Array>

type BodyPull = Pull.Pull<Chunks, Failure>

/**
 * Returns a request's body. The time-out runs only while the client is waited for, not while the store is.
 */
export const bodyOf = (
  request: HttpServerRequest.HttpServerRequest,
  idleTimeout: Duration.Duration
): Body => {
  const { source } = request
  const bytes = Stream.mapError(request.stream, (cause) => new BodyTorn({ cause }))
  const channel = Channel.fromTransform((_: unknown, scope) => {
    let rest: BodyPull | null = null
    // The adapter lets the client send its body (100 Continue) at the first read of its own stream.
    const begun: BodyPull = Effect.gen(function* () {
      const first = yield* Scope.fork(scope)
      const pull = timed(yield* Scope.provide(Stream.toPull(bytes), first), idleTimeout)
      if (!(source instanceof IncomingMessage)) {
        rest = pull
        return yield* pull
      }
      const chunks = yield* pull
      yield* Scope.close(first, Exit.void)
      rest = yield* Scope.provide(readOn(source, idleTimeout), scope)
      return chunks
    })
    return Effect.succeed(Effect.suspend(() => rest ?? begun))
  })
  return Stream.fromChannel(channel)
}

const timed = (pull: BodyPull, idleTimeout: Duration.Duration): BodyPull =>
  Effect.timeoutOrElse(pull, {
    duration: idleTimeout,
    orElse: () => Effect.fail(new BodyIdle({ idleTimeout }))
  })

/** Reads on from a request whose first bytes were read. Stops listening when the scope closes. */
const readOn = Effect.fnUntraced(function* (source: IncomingMessage, idleTimeout: Duration.Duration) {
  const clock = yield* Clock.Clock
  let end: Exit.Exit<never, Failure | Cause.Done> | null = null
  let waitsSince: number | null = null
  let wake = () => {}
  const endWith = (exit: Exit.Exit<never, Failure | Cause.Done>) => {
    end ??= exit
    wake()
  }
  const onReadable = () => wake()
  source.on("readable", onReadable)
  const ignoreEnd = finished(source, { writable: false }, (cause) =>
    endWith(cause ? Exit.fail(new BodyTorn({ cause })) : Exit.fail(Cause.Done()))
  )
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      source.off("readable", onReadable)
      ignoreEnd()
    })
  )
  const pull: BodyPull = Effect.suspend(() => {
    const chunks = available(source)
    if (Arr.isArrayNonEmpty(chunks)) return Effect.succeed(chunks)
    if (end !== null) return end
    return waiting
  })
  const waiting: BodyPull = Effect.callback((resume) => {
    waitsSince = clock.currentTimeMillisUnsafe()
    wake = () => {
      wake = () => {}
      waitsSince = null
      resume(pull)
    }
  })
  const idleMillis = Duration.toMillis(idleTimeout)
  const watch = Effect.gen(function* () {
    while (end === null) {
      const now = clock.currentTimeMillisUnsafe()
      const left: number = waitsSince === null ? idleMillis : waitsSince + idleMillis - now
      if (left <= 0) return endWith(Exit.fail(new BodyIdle({ idleTimeout })))
      yield* Effect.sleep(left)
    }
  })
  yield* Effect.forkScoped(watch)
  return pull
})

const available = (source: IncomingMessage): Array<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  for (let chunk = source.read(); chunk !== null; chunk = source.read()) chunks.push(chunk)
  return chunks
}
