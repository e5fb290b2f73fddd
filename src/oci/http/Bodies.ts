/**
 * Bodies of requests: how many are received at once, and how long one may stand still.
 *
 * A body is a stream that is read as fast as it is stored, never held as a whole. One that its client does not send to
 * the end fails, over HTTP/1 and HTTP/2, so that nothing of it is stored (test/oci/http/Torn.test.ts).
 */
import { IncomingMessage } from "node:http"
import { Data, Duration, Effect, Semaphore, Stream } from "effect"
import type { HttpServerRequest } from "effect/http"

/** The client went away, or broke the framing of its body. */
export class BodyTorn extends Data.TaggedError("BodyTorn")<{ readonly cause: unknown }> {
  override get message(): string {
    return "The body ended before it was complete. Nothing of it was stored; send it again."
  }
}

/** No byte of the body came for too long. */
export class BodyIdle extends Data.TaggedError("BodyIdle")<{ readonly idleTimeout: Duration.Duration }> {
  override get message(): string {
    return `No byte of the body came for ${Duration.format(this.idleTimeout)}. Nothing of it was stored; ask where the upload stands and go on from there.`
  }
}

export type Body = Stream.Stream<Uint8Array, BodyTorn | BodyIdle>

/** The places in which bodies are received. */
export interface Bodies {
  /** All places are taken, and as many requests wait for one: no good time to begin another push. */
  readonly isCrowded: () => boolean
  /** Runs what receives a blob's body in a place, waiting for one; the client is made to wait by not being read. */
  readonly receive: <A, E, R>(receiving: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * The same for what ends a push: closing a session, storing a manifest. It has places of its own, because it is short,
   * and must not wait for the bodies of others.
   */
  readonly settle: <A, E, R>(settling: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export const make = (max: number): Effect.Effect<Bodies> =>
  Effect.sync(() => {
    const places = Semaphore.makeUnsafe(max)
    const settling = Semaphore.makeUnsafe(max)
    let count = 0
    return {
      isCrowded: () => count >= 2 * max,
      receive: (effect) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            count += 1
          }),
          () => places.withPermit(effect),
          () =>
            Effect.sync(() => {
              count -= 1
            })
        ),
      settle: (effect) => settling.withPermit(effect)
    }
  })

/**
 * Whether a request comes with a body, of perhaps no bytes. In HTTP/1 its headers say so (RFC 9112, section 6); elsewhere
 * a body without a declared length has no header.
 */
export const hasBody = ({ headers, source }: HttpServerRequest.HttpServerRequest): boolean => {
  const length = lengthOf(headers)
  if (length !== undefined) return length > 0
  return headers["transfer-encoding"] !== undefined || !(source instanceof IncomingMessage)
}

/** The length that a request declares, in bytes. Node has refused what is no number, or contradicts the framing. */
export const declaredLength = ({ headers }: HttpServerRequest.HttpServerRequest): number | undefined =>
  headers["transfer-encoding"] === undefined ? lengthOf(headers) : undefined

const lengthOf = (headers: HttpServerRequest.HttpServerRequest["headers"]): number | undefined => {
  const length = headers["content-length"]
  return length === undefined ? undefined : Number(length)
}

/** A request's body. Time counts only while a byte is waited for, not while the store is. */
export const bodyOf = (request: HttpServerRequest.HttpServerRequest, idleTimeout: Duration.Duration): Body =>
  Stream.transformPull(
    Stream.mapError(request.stream, (cause) => new BodyTorn({ cause })),
    (pull) =>
      Effect.succeed(
        Effect.timeoutOrElse(pull, {
          duration: idleTimeout,
          orElse: () => Effect.fail(new BodyIdle({ idleTimeout }))
        })
      )
  )
