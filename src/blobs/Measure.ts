/** Measures a body while it passes through: its length and its digest. Keeps none of its bytes. */
import { createHash, type Hash } from "node:crypto"
import { Effect, Stream } from "effect"
import { type Algorithm, algorithmOf, type Digest, fromHex } from "../domain/Digest.ts"
import type { BodyProgress } from "./BodyProgress.ts"
import { DigestMismatch, SizeMismatch } from "./errors.ts"

/** Digest and length of a body that was read to its end. */
export interface Measure {
  readonly digest: Digest
  readonly sizeBytes: number
}

/** What the caller declares about a body. Null where it declares nothing. */
export interface Declared {
  readonly digest: Digest | null
  readonly sizeBytes: number | null
  /** Hashes a body without a declared digest. Default sha256. */
  readonly algorithm?: Algorithm | undefined
  /** Hashes more than this body. Default: nothing does. */
  readonly beside?: Beside | undefined
}

/** Follows a body while it is measured. */
export interface Beside {
  /** Receives each piece, which must not be changed. */
  readonly update: (bytes: Uint8Array) => void
  /** Receives the hash of a body that is as declared, before its digest is taken. */
  readonly ended: (hash: Hash) => void
}

/**
 * Returns the body, which fails unless it is as declared: with `SizeMismatch` at the first byte too many or
 * at an early end, with `DigestMismatch` at its end. The store therefore never completes the object of a
 * wrong body. Calls `done` with the measure of a right one.
 */
export const measured = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  declared: Declared,
  progress: BodyProgress,
  done: (measure: Measure) => void
): Stream.Stream<Uint8Array, E | DigestMismatch | SizeMismatch, R> =>
  Stream.suspend(() => {
    const declaredAlgorithm = declared.digest === null ? null : algorithmOf(declared.digest)
    const algorithm = declaredAlgorithm ?? declared.algorithm ?? "sha256"
    const hash = createHash(algorithm)
    const limit = declared.sizeBytes ?? Number.POSITIVE_INFINITY
    let sizeBytes = 0
    progress.openBodies += 1
    // Once a pull, and not once a chunk: a body has thousands of chunks.
    const checked = Stream.transformPull(body, (pull) =>
      Effect.succeed(
        Effect.flatMap(pull, (chunks) => {
          progress.chunksRead += chunks.length
          for (const chunk of chunks) {
            sizeBytes += chunk.length
            if (sizeBytes > limit) {
              return Effect.fail(new SizeMismatch({ declared: limit, actual: sizeBytes }))
            }
            hash.update(chunk)
            declared.beside?.update(chunk)
          }
          return Effect.succeed(chunks)
        })
      )
    )
    return checked.pipe(
      Stream.concat(
        Stream.suspend((): Stream.Stream<never, DigestMismatch | SizeMismatch> => {
          if (declared.sizeBytes !== null && sizeBytes < declared.sizeBytes) {
            return Stream.fail(new SizeMismatch({ declared: declared.sizeBytes, actual: sizeBytes }))
          }
          declared.beside?.ended(hash)
          const actual = fromHex(algorithm, hash.digest("hex"))
          if (declared.digest !== null && actual !== declared.digest) {
            return Stream.fail(new DigestMismatch({ declared: declared.digest, actual }))
          }
          done({ digest: actual, sizeBytes })
          return Stream.empty
        })
      ),
      Stream.ensuring(
        Effect.sync(() => {
          progress.openBodies -= 1
        })
      )
    )
  })
