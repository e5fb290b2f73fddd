/**
 * Bodies of requests: how many are received at once, how slow one may be, and how long it may stall.
 *
 * A body is a stream that is read as fast as it is stored, and is never kept in memory as a whole. A body
 * that its client does not send to the end fails, over HTTP/1 and HTTP/2, so that no byte of it is stored
 * (test/oci/http/Torn.test.ts).
 */
import { IncomingMessage } from "node:http"
import { Clock, Data, Deferred, Duration, Effect, type Scope, Semaphore, Stream } from "effect"
import type { HttpServerRequest } from "effect/http"
import type { MinimumRate } from "./MinimumRate.ts"
import * as Places from "./Places.ts"
import { recentRate } from "./RecentRate.ts"
import { steadyMillis } from "./Steady.ts"

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

/** A body arrived more slowly than the least rate. No byte of it was stored. */
export class BodyTooSlow extends Data.TaggedError("BodyTooSlow")<{ readonly rate: MinimumRate }> {
  override get message(): string {
    const { bytesPerSecond, window } = this.rate
    return `The body arrived more slowly than ${bytesPerSecond} bytes a second for ${Duration.format(window)}. No byte of it was stored; send it again over a faster line.`
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

/** A body came in chunks of a few bytes, each of which costs as much as a large one. No byte of it was stored. */
export class BodyInCrumbs extends Data.TaggedError("BodyInCrumbs") {
  override get message(): string {
    return "Most of the request was the framing of its chunks, not its body. No byte of it was stored; send larger chunks."
  }
}

/** Why the body of a request failed. */
export type BodyFailure = BodyTorn | BodyIdle | BodyTooSlow | BodyInCrumbs | Places.TransferShed

/** The body of a request. */
export type Body = Stream.Stream<Uint8Array, BodyFailure>

/** Reads the body of a request: as a transfer that needs a place to read on, or without places. */
export type BodyReader = (transfer: Places.Transfer | null) => Body

/** Limits how many bodies are received at once. */
export interface Bodies {
  /**
   * Waits while all places are taken and as many requests wait for one. Returns false if that lasts: a new upload is then put
   * off. Waiting comes first, because docker gives up after 429, and podman after 503.
   */
  readonly hasRoom: Effect.Effect<boolean>
  /** Returns how many bodies are being received, wait for a place, and were overtaken by others. */
  readonly load: () => Places.Load
  /** Returns for how long bodies have waited and none got a place, in milliseconds. */
  readonly stuckMillis: () => number
  /**
   * Receives a blob's body of a client (`clientOf`) once a place is free. Until then the client waits, because its body is not
   * read. A body that waits for its client may lose its place to one that waits, and reads on with another place.
   */
  readonly receive: <A, E, R>(
    client: string,
    read: BodyReader,
    receiving: (body: Body) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | Places.TransferShed, R>
  /**
   * Reads a body into memory as a whole, and holds its memory until the request's scope ends. Takes no place: slow clients
   * would keep all of them. Instead the memory of all such bodies is bounded, and so is the time of each. If the memory is
   * used up, the slowest of them is ended. Fails with `tooLong` after more than `maxBytes`.
   */
  readonly hold: <E>(
    body: Body,
    options: { readonly maxBytes: number; readonly tooLong: E }
  ) => Effect.Effect<Uint8Array, E | BodyFailure | BodySlow | BodiesFull, Scope.Scope>
  /**
   * Runs the close of a session once a place is free. Closing has places of its own, because it is short and must not wait for
   * the bodies of other clients.
   */
  readonly settle: <A, E, R>(settling: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * Stores a manifest once a place is free. Manifests do not wait for sessions that close: one of a thousand chunks may take
   * half a minute.
   */
  readonly settleManifest: Bodies["settle"]
}

/** Limits of bodies. */
export interface BodiesOptions {
  /** Places for bodies, as many for sessions that close, and as many for manifests. */
  readonly max: number
  /** Longest that a new upload waits. */
  readonly roomWithin: Duration.Duration
  /** How long a body keeps its place at least. Infinite: bodies are never overtaken. Default {@link overtakeAfter}. */
  readonly overtakeAfter?: Duration.Duration | undefined
}

/** Long compared with the pauses of a client that is near, short compared with what a client notices. */
export const overtakeAfter = Duration.millis(100)

/** A body that waits for its client holds less than a part of an upload; complete parts are sent (storage/s3/Body.ts). */
const heldBytesMax = 8 * 1024 * 1024

/** Overtaken bodies, for each place. Each may hold a connection to the store (storage/s3/Requests.ts). */
const overtakenPerPlace = 3

/** Bytes of overtaken bodies, for each place: a third of what a body with a place may hold. */
const overtakenBytesPerPlace = 16 * 1024 * 1024

/** Makes the limits. The scope's end stops the fiber that looks for slow bodies. */
export const make = Effect.fnUntraced(function* ({
  max,
  roomWithin,
  overtakeAfter: after = overtakeAfter
}: BodiesOptions): Effect.fn.Return<Bodies, never, Scope.Scope> {
  const places = yield* Places.make({
    max,
    overtakeAfter: after,
    overtakenMax: max * overtakenPerPlace,
    overtakenBytesMax: max * overtakenBytesPerPlace,
    heldBytesMax
  })
  const closing = Semaphore.makeUnsafe(max)
  const manifests = Semaphore.makeUnsafe(max)
  return {
    hold: holding(Duration.isFinite(after)),
    hasRoom: Effect.timeoutOrElse(Effect.as(places.hasRoom, true), {
      duration: roomWithin,
      orElse: () => Effect.succeed(false)
    }),
    load: places.load,
    stuckMillis: places.stuckMillis,
    receive: (client, read, receiving) =>
      Effect.acquireUseRelease(
        Effect.sync(() => places.begin(client)),
        (transfer) =>
          Effect.andThen(
            transfer.take,
            Effect.suspend(() => receiving(read(transfer)))
          ),
        (transfer) => Effect.sync(transfer.end)
      ),
    settle: (effect) => closing.withPermit(effect),
    settleManifest: (effect) => manifests.withPermit(effect)
  }
})

/** Sixteen manifests of the longest kind, or ten thousand of ordinary ones. */
const memoryMax = 64 * 1024 * 1024

/** 4 MiB arrive within this time at 56 kbit/s. Ordinary manifests have a few kilobytes. */
const heldWithin = Duration.minutes(10)

/** A body of an ordinary manifest arrives within this time over every line. */
const shedAfterMillis = 1000

/** Nearly every manifest is shorter. Such a body ends longer ones at once, and is ended only where there are no longer ones. */
const ordinaryBytes = 64 * 1024

/** What a chunk costs beside its bytes. */
const chunkOverheadBytes = 128

/** A body that is being read into memory. */
interface Held {
  readonly begunAt: number
  bytes: number
  memory: number
  readonly bytesPerSecond: (now: number) => number
  /** Ends the body, and frees its memory at once. */
  readonly shed: () => void
}

/** Returns the verb that keeps bodies in memory, with a bound for all of them together. */
const holding = (mayShed: boolean): Bodies["hold"] => {
  let memory = 0
  const reading = new Set<Held>()
  const shedSlowest = (own: Held, chunkBytes: number, now: number): boolean => {
    const isOrdinary = own.bytes + chunkBytes <= ordinaryBytes
    const others = [...reading].filter(
      (held) =>
        held !== own && (now - held.begunAt >= shedAfterMillis || (isOrdinary && held.bytes > ordinaryBytes))
    )
    if (!mayShed || others.length === 0) return false
    const long = others.filter((held) => held.bytes > ordinaryBytes)
    const among = long.length > 0 ? long : others
    among
      .reduce((worst, held) => (held.bytesPerSecond(now) < worst.bytesPerSecond(now) ? held : worst))
      .shed()
    return true
  }
  return Effect.fnUntraced(function* <E>(
    body: Body,
    { maxBytes, tooLong }: { readonly maxBytes: number; readonly tooLong: E }
  ) {
    const chunks: Array<Uint8Array> = []
    const ended = yield* Deferred.make<never, BodiesFull>()
    const clock = yield* Clock.Clock
    const rate = recentRate()
    const free = () => {
      memory -= held.memory
      held.memory = 0
      chunks.length = 0
      reading.delete(held)
    }
    const held: Held = {
      begunAt: steadyMillis(clock),
      bytes: 0,
      memory: 0,
      bytesPerSecond: rate.bytesPerSecond,
      shed: () => {
        free()
        Deferred.doneUnsafe(ended, Effect.fail(new BodiesFull()))
      }
    }
    reading.add(held)
    rate.waits(held.begunAt)
    yield* Effect.addFinalizer(() => Effect.sync(free))
    const collecting = Stream.runForEach(body, (chunk): Effect.Effect<void, E | BodiesFull> => {
      const now = steadyMillis(clock)
      rate.moved(chunk.length, now)
      rate.waits(now)
      if (held.bytes + chunk.length > maxBytes) return Effect.fail(tooLong)
      const cost = chunk.length + chunkOverheadBytes
      while (memory + cost > memoryMax) {
        if (!shedSlowest(held, chunk.length, now)) return Effect.fail(new BodiesFull())
      }
      held.bytes += chunk.length
      held.memory += cost
      memory += cost
      chunks.push(chunk)
      return Effect.void
    })
    yield* Effect.timeoutOrElse(Effect.raceFirst(collecting, Deferred.await(ended)), {
      duration: heldWithin,
      orElse: () => Effect.fail(new BodySlow({ within: heldWithin }))
    })
    reading.delete(held)
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
