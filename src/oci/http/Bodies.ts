/**
 * Bodies of requests: how many are received at once, and how long one may stall.
 *
 * A body is a stream that is read as fast as it is stored, and is never kept in memory as a whole. A body
 * that its client does not send to the end fails, over HTTP/1 and HTTP/2, so that no byte of it is stored
 * (test/oci/http/Torn.test.ts).
 */
import { IncomingMessage } from "node:http"
import { Data, Duration, Effect, type Scope, Semaphore, Stream } from "effect"
import type { HttpServerRequest } from "effect/http"

/** The client disconnected, or broke the framing of its body. No byte of it was stored. */
export class BodyTorn extends Data.TaggedError("BodyTorn")<{ readonly cause: unknown }> {
  override get message(): string {
    return "The body ended before it was complete. No byte of it was stored; send it again."
  }
}

/** No byte of the body arrived for too long. No byte of it was stored. */
export class BodyIdle extends Data.TaggedError("BodyIdle")<{ readonly idleTimeout: Duration.Duration }> {
  override get message(): string {
    return `No byte of the body arrived for ${Duration.format(this.idleTimeout)}. No byte of it was stored; ask for the upload's status and continue from there.`
  }
}

/** A body that is kept in memory took too long as a whole. Nothing was stored. */
export class BodySlow extends Data.TaggedError("BodySlow")<{ readonly within: Duration.Duration }> {
  override get message(): string {
    return `The body did not arrive within ${Duration.format(this.within)}. Nothing was stored; send it again.`
  }
}

/** As many bodies wait as are received, and did so for too long. No upload was started. */
export class UploadsFull extends Data.TaggedError("UploadsFull") {
  override get message(): string {
    return "The registry receives as many blobs as it can. No upload was started; start it again in a few seconds."
  }
}

/** Bodies that are kept in memory hold all that they may. Nothing was stored. */
export class BodiesFull extends Data.TaggedError("BodiesFull") {
  override get message(): string {
    return "The registry receives as many manifests as it can. Nothing was stored; send it again in a few seconds."
  }
}

/** The body of a request. */
export type Body = Stream.Stream<Uint8Array, BodyTorn | BodyIdle>

/** Limits how many bodies are received at once. */
export interface Bodies {
  /**
   * Waits while all places are taken and as many requests wait for one. Returns false if that lasts: a new upload is then put
   * off. Waiting comes first, because docker gives up after 429, and podman after 503.
   */
  readonly hasRoom: Effect.Effect<boolean>
  /** Returns how many bodies are being received, and how many wait for a place. */
  readonly load: () => { readonly inHand: number; readonly waiting: number }
  /**
   * Receives a blob's body once a place is free. Until then the client waits, because its body is not read.
   */
  readonly receive: <A, E, R>(receiving: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * Reads a body into memory as a whole, and holds its memory until the request's scope ends. Takes no place: slow clients
   * would keep all of them. Instead the memory of all such bodies is bounded, and so is the time of each. Fails with `tooLong`
   * after more than `maxBytes`.
   */
  readonly hold: <E>(
    body: Body,
    options: { readonly maxBytes: number; readonly tooLong: E }
  ) => Effect.Effect<Uint8Array, E | BodyTorn | BodyIdle | BodySlow | BodiesFull, Scope.Scope>
  /**
   * Runs a request that ends a push once a place is free: closing a session, storing a manifest. These have
   * places of their own, because they are short and must not wait for the bodies of other clients.
   */
  readonly settle: <A, E, R>(settling: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * Returns limits of `max` places for bodies, and `max` for requests that end a push. A new upload waits `roomWithin` at most.
 */
export const make = (max: number, roomWithin: Duration.Duration): Effect.Effect<Bodies> =>
  Effect.sync(() => {
    const places = Semaphore.makeUnsafe(max)
    const settling = Semaphore.makeUnsafe(max)
    const hold = holding()
    const room = Semaphore.makeUnsafe(2 * max)
    let count = 0
    const counted = <A, E, R>(receiving: Effect.Effect<A, E, R>) =>
      Effect.suspend(() => {
        count += 1
        return Effect.ensuring(
          receiving,
          Effect.sync(() => {
            count -= 1
          })
        )
      })
    return {
      hold,
      hasRoom: Effect.timeoutOrElse(Effect.as(room.withPermit(Effect.void), true), {
        duration: roomWithin,
        orElse: () => Effect.succeed(false)
      }),
      load: () => ({ inHand: Math.min(count, max), waiting: Math.max(0, count - max) }),
      receive: (effect) => counted(room.withPermit(places.withPermit(effect))),
      settle: (effect) => settling.withPermit(effect)
    }
  })

/** Sixteen manifests of the longest kind, or ten thousand of ordinary ones. */
const heldBytesMax = 64 * 1024 * 1024

/** 4 MiB arrive within a minute at 70 kB/s. Ordinary manifests have a few kilobytes. */
const heldWithin = Duration.minutes(1)

/** Returns the verb that keeps bodies in memory, with a bound for all of them together. */
const holding = (): Bodies["hold"] => {
  let heldBytes = 0
  return Effect.fnUntraced(function* <E>(
    body: Body,
    { maxBytes, tooLong }: { readonly maxBytes: number; readonly tooLong: E }
  ) {
    const chunks: Array<Uint8Array> = []
    let length = 0
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        heldBytes -= length
      })
    )
    const reading = Stream.runForEach(body, (chunk): Effect.Effect<void, E | BodiesFull> => {
      if (length + chunk.length > maxBytes) return Effect.fail(tooLong)
      if (heldBytes + chunk.length > heldBytesMax) return Effect.fail(new BodiesFull())
      length += chunk.length
      heldBytes += chunk.length
      chunks.push(chunk)
      return Effect.void
    })
    yield* Effect.timeoutOrElse(reading, {
      duration: heldWithin,
      orElse: () => Effect.fail(new BodySlow({ within: heldWithin }))
    })
    return new Uint8Array(Buffer.concat(chunks))
  })
}

/**
 * Returns whether a request may have a body, which may be empty. In HTTP/1 its headers tell (RFC 9112,
 * section 6). In other versions a body without a declared length has no header.
 */
export const hasBody = ({ headers, source }: HttpServerRequest.HttpServerRequest): boolean => {
  const length = lengthOf(headers)
  if (length !== undefined) return length > 0
  return headers["transfer-encoding"] !== undefined || !(source instanceof IncomingMessage)
}

/**
 * Returns the length that a request declares, in bytes. Node refuses lengths that are malformed or contradict
 * the framing.
 */
export const declaredLength = ({ headers }: HttpServerRequest.HttpServerRequest): number | undefined =>
  headers["transfer-encoding"] === undefined ? lengthOf(headers) : undefined

/**
 * The longest blob, in bytes: 5 TiB, S3's largest object until 2025, and the largest that every store here takes. Longer ones are
 * refused before a byte is read.
 */
export const blobBytesMax = 5 * 2 ** 40

const lengthOf = (headers: HttpServerRequest.HttpServerRequest["headers"]): number | undefined => {
  const length = headers["content-length"]
  return length === undefined ? undefined : Number(length)
}
