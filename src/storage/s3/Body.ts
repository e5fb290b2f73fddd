/** Cutting a body into parts for S3, and telling a slow body from a slow store. */
import { Effect, Stream } from "effect"

/**
 * The most parts of one upload that S3 takes
 * (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
 */
const partsMax = 10_000

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

/**
 * Returns the same bytes in pieces of these sizes. The last one may be shorter, and an empty body has none.
 */
export const inParts = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  sizes: PartSizes
): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapAccum(body, emptyPart, cutInto(sizes), {
    onHalt: ({ part, filled }) => (part === undefined || filled === 0 ? [] : [part.subarray(0, filled)])
  })

/** The part that is being filled. It is changed in place, so that each byte is copied only once. */
interface Filling {
  index: number
  part: Buffer | undefined
  filled: number
}

const emptyPart = (): Filling => ({ index: 0, part: undefined, filled: 0 })

const cutInto =
  (sizes: PartSizes) =>
  (state: Filling, chunk: Uint8Array): readonly [Filling, ReadonlyArray<Uint8Array>] => {
    const full: Array<Uint8Array> = []
    for (let taken = 0; taken < chunk.length; ) {
      const sizeBytes = sizes(state.index)
      state.part ??= Buffer.allocUnsafeSlow(sizeBytes)
      const piece = chunk.subarray(taken, taken + sizeBytes - state.filled)
      state.part.set(piece, state.filled)
      state.filled += piece.length
      taken += piece.length
      if (state.filled < sizeBytes) continue
      full.push(state.part)
      state.part = undefined
      state.filled = 0
      state.index++
    }
    return [state, full]
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
