/** How a body is cut for S3, and how we know who is to blame when it does not move. */
import { Effect, Stream } from "effect"

/** S3 takes at most this many parts (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html). */
const partsMax = 10_000

const leastPartBytes = 8 * 1024 * 1024

/** How long each part of an upload is, by its index from 0; the last one may be shorter. */
export type PartSizes = (index: number) => number

/**
 * All parts alike, at least `least` long: 8 MiB, more only where there would be too many (objects above 78 GiB).
 */
export const evenParts = (sizeBytes: number, least = leastPartBytes): PartSizes => {
  const size = Math.max(least, Math.ceil(sizeBytes / partsMax))
  return () => size
}

/**
 * For a body whose length is not known: 8 MiB as well, and each thousand parts twice as long as the thousand before.
 * 10,000 parts are then 8 TiB, and a part is at most a five-hundredth of what was sent before it.
 */
export const growingParts: PartSizes = (index) => leastPartBytes * 2 ** Math.floor(index / 1000)

/**
 * The same bytes, the last chunk only when the body is known to have ended there. A store that has received the
 * declared number of bytes makes the object visible, and only then may the body turn out to be too long.
 */
export const holdingBack = <E, R>(body: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapAccum(
    body,
    (): Uint8Array | undefined => undefined,
    (held, chunk) => (chunk.length === 0 ? [held, []] : [chunk, held === undefined ? [] : [held]]),
    { onHalt: (held) => (held === undefined ? [] : [held]) }
  )

/** The same bytes in pieces of exactly these sizes, the last one shorter; no bytes, no pieces. */
export const inParts = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  sizes: PartSizes
): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapAccum(body, emptyPart, cutInto(sizes), {
    onHalt: ({ part, filled }) => (part === undefined || filled === 0 ? [] : [part.subarray(0, filled)])
  })

/** The part that is being filled. Changed in place: one copy of each byte, whatever the size of the chunks. */
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

/** How far a body is: the store is stuck when nothing moves although we are not waiting for the body's owner. */
export interface Progress {
  chunks: number
  isWaitingForBody: boolean
}

/** The same body, keeping `progress`. */
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
