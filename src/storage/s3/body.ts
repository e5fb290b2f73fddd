/** How a body is cut for S3, and how we know who is to blame when it does not move. */
import { Effect, Stream } from "effect"

/** S3 takes at most this many parts (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html). */
const partsMax = 10_000

/** The size of all parts but the last: 8 MiB, more only for objects above 78 GiB, whose parts would be too many. */
export const partBytes = (sizeBytes: number): number =>
  Math.max(8 * 1024 * 1024, Math.ceil(sizeBytes / partsMax))

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

/** The same bytes in pieces of exactly `sizeBytes`, the last one shorter; no bytes, no pieces. */
export const inParts = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number
): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapAccum(body, emptyPart, cutInto(sizeBytes), {
    onHalt: ({ part, filled }) => (part === undefined || filled === 0 ? [] : [part.subarray(0, filled)])
  })

/** The part that is being filled. Changed in place: one copy of each byte, whatever the size of the chunks. */
interface Filling {
  part: Buffer | undefined
  filled: number
}

const emptyPart = (): Filling => ({ part: undefined, filled: 0 })

const cutInto =
  (sizeBytes: number) =>
  (state: Filling, chunk: Uint8Array): readonly [Filling, ReadonlyArray<Uint8Array>] => {
    const full: Array<Uint8Array> = []
    for (let taken = 0; taken < chunk.length; ) {
      state.part ??= Buffer.allocUnsafeSlow(sizeBytes)
      const piece = chunk.subarray(taken, taken + sizeBytes - state.filled)
      state.part.set(piece, state.filled)
      state.filled += piece.length
      taken += piece.length
      if (state.filled < sizeBytes) continue
      full.push(state.part)
      state.part = undefined
      state.filled = 0
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
