/** Cutting a body into parts for S3, and telling a slow body from a slow store. */
import { createHash } from "node:crypto"
import { Readable } from "node:stream"
import { Effect, Stream } from "effect"

/**
 * The most parts of one upload that S3 takes
 * (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
 */
export const partsMax = 10_000

const leastPartBytes = 8 * 1024 * 1024

/** Returns the length of a part of an upload in bytes, by its index from 0. The last part may be shorter. */
export type PartSizes = (index: number) => number

/**
 * Returns sizes that are all equal: `least` bytes, or more if there would be too many parts. Default 8 MiB,
 * which suffices up to objects of 78 GiB.
 */
export const evenParts = (sizeBytes: number, least = leastPartBytes): PartSizes => {
  const size = Math.max(least, Math.ceil(sizeBytes / partsMax))
  return () => size
}

/**
 * Returns the sizes for a body of unknown length: 8 MiB, and doubled after each thousand parts. 10,000 parts
 * then hold 8 TiB, and a part is at most a five-hundredth of the bytes sent before it.
 */
export const growingParts: PartSizes = (index) => leastPartBytes * 2 ** Math.floor(index / 1000)

/**
 * Returns the sizes for a body of a declared length. A client declares it before it sends a byte, so no declared length makes a
 * first part larger than 8 MiB: longer bodies than 78 GiB get growing parts.
 */
export const partsOf = (sizeBytes: number): PartSizes =>
  sizeBytes <= leastPartBytes * partsMax ? evenParts(sizeBytes) : growingParts

/**
 * Returns the same bytes, but delays the last chunk until the body has ended. A store makes the object
 * visible once it has the declared number of bytes. Before that the body must be known not to be too long.
 */
export const delayingLast = <E, R>(body: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapAccum(
    body,
    (): Uint8Array | undefined => undefined,
    (last, chunk) => (chunk.length === 0 ? [last, []] : [chunk, last === undefined ? [] : [last]]),
    { onHalt: (last) => (last === undefined ? [] : [last]) }
  )

/** A piece of a body, in the chunks in which it arrived. */
export interface Part {
  readonly chunks: ReadonlyArray<Uint8Array>
  readonly sizeBytes: number
}

/**
 * Returns the same bytes in parts of these sizes. The last one may be shorter, and an empty body has none. A part refers to the
 * body's chunks and does not copy them, except small ones: a client may send a byte a chunk.
 */
export const inParts = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  sizes: PartSizes
): Stream.Stream<Part, E, R> =>
  Stream.mapAccum(body, emptyPart, cutInto(sizes), {
    onHalt: (filling) => (filling.sizeBytes === 0 ? [] : [partOf(filling)])
  })

/** Chunks below this size are copied together. Each chunk costs about 100 bytes beside its own. */
const copiedBelowBytes = 4 * 1024

/** Many small chunks share a buffer of this size. */
const sharedBytes = 64 * 1024

/** The part that is being filled. It is changed in place. */
interface Filling {
  index: number
  chunks: Array<Uint8Array>
  sizeBytes: number
  /** What is left of the buffer for small chunks. */
  free: Buffer
  /** The bytes at the begin of `free` that small chunks have filled, and that are not yet among `chunks`. */
  copied: number
}

const emptyPart = (): Filling => ({ index: 0, chunks: [], sizeBytes: 0, free: Buffer.alloc(0), copied: 0 })

const cutInto =
  (sizes: PartSizes) =>
  (filling: Filling, chunk: Uint8Array): readonly [Filling, ReadonlyArray<Part>] => {
    const full: Array<Part> = []
    for (let taken = 0; taken < chunk.length; ) {
      const missing = sizes(filling.index) - filling.sizeBytes
      const piece = chunk.subarray(taken, taken + missing)
      add(filling, piece)
      taken += piece.length
      if (piece.length < missing) continue
      full.push(partOf(filling))
      filling.index++
      filling.chunks = []
      filling.sizeBytes = 0
    }
    return [filling, full]
  }

const add = (filling: Filling, piece: Uint8Array): void => {
  filling.sizeBytes += piece.length
  if (piece.length >= copiedBelowBytes) {
    endCopied(filling)
    filling.chunks.push(piece)
    return
  }
  if (filling.copied + piece.length > filling.free.length) {
    endCopied(filling)
    filling.free = Buffer.allocUnsafeSlow(sharedBytes)
  }
  filling.free.set(piece, filling.copied)
  filling.copied += piece.length
}

/** Makes one chunk of the small ones. The rest of their buffer serves later ones. */
const endCopied = (filling: Filling): void => {
  if (filling.copied === 0) return
  filling.chunks.push(filling.free.subarray(0, filling.copied))
  filling.free = filling.free.subarray(filling.copied)
  filling.copied = 0
}

const partOf = (filling: Filling): Part => {
  endCopied(filling)
  return { chunks: filling.chunks, sizeBytes: filling.sizeBytes }
}

/** Returns the SHA-256 of a part, in hexadecimal. */
export const sha256Of = ({ chunks }: Part): string => {
  const hash = createHash("sha256")
  for (const chunk of chunks) hash.update(chunk)
  return hash.digest("hex")
}

/** Returns a new stream of a part's bytes, for one request. */
export const readableOf = ({ chunks }: Part): Readable => {
  let next = 0
  return new Readable({
    read() {
      this.push(chunks[next++] ?? null)
    }
  })
}

/**
 * Holds a body's progress. The store has stalled if `chunks` stays the same while the store is not waiting
 * for the body.
 */
export interface Progress {
  /** How many chunks were sent. */
  chunks: number
  /** Whether the next chunk has been requested from the body and has not arrived. */
  isWaitingForBody: boolean
}

/** Returns the same body, which updates `progress`. */
export const tracking = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  progress: Progress
): Stream.Stream<Uint8Array, E, R> =>
  Stream.transformPull(body, (pull) =>
    Effect.succeed(
      Effect.suspend(() => {
        progress.isWaitingForBody = true
        return pull
      }).pipe(
        Effect.onExit(() =>
          Effect.sync(() => {
            progress.chunks++
            progress.isWaitingForBody = false
          })
        )
      )
    )
  )
