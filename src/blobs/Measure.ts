/** What a body turns out to be while it passes through: its length and its digest. Nothing of it is kept. */
import { createHash } from "node:crypto"
import { Effect, Stream } from "effect"
import { type Algorithm, algorithmOf, type Digest, fromHex } from "../domain/Digest.ts"
import { DigestMismatch, SizeMismatch } from "./errors.ts"

export interface Measure {
  readonly digest: Digest
  readonly sizeBytes: number
}

/** What the caller says of a body; null where it does not know. */
export interface Declared {
  readonly digest: Digest | null
  readonly sizeBytes: number | null
  /** By which a body without a declared digest is hashed. Default sha256. */
  readonly algorithm?: Algorithm | undefined
}

/** Where the bodies of an upload are, for whoever decides whether it is still alive. */
export interface Flow {
  /** Bodies that have begun and not ended. */
  reading: number
  /** Grows whenever bytes come. */
  moved: number
}

export const flow = (): Flow => ({ reading: 0, moved: 0 })

/**
 * The body, failing unless it is what was declared: at the first byte too many, or else at its end, so that the store
 * never completes the object. `done` is told what it was.
 */
export const measured = <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  declared: Declared,
  flow: Flow,
  done: (measure: Measure) => void
): Stream.Stream<Uint8Array, E | DigestMismatch | SizeMismatch, R> =>
  Stream.suspend(() => {
    const named = declared.digest === null ? null : algorithmOf(declared.digest)
    const algorithm = named ?? declared.algorithm ?? "sha256"
    const hash = createHash(algorithm)
    const limit = declared.sizeBytes ?? Number.POSITIVE_INFINITY
    let sizeBytes = 0
    flow.reading += 1
    return body.pipe(
      Stream.mapEffect((chunk) => {
        flow.moved += 1
        sizeBytes += chunk.length
        if (sizeBytes > limit) return Effect.fail(new SizeMismatch({ declared: limit, actual: sizeBytes }))
        hash.update(chunk)
        return Effect.succeed(chunk)
      }),
      Stream.concat(
        Stream.suspend((): Stream.Stream<never, DigestMismatch | SizeMismatch> => {
          if (declared.sizeBytes !== null && sizeBytes < declared.sizeBytes) {
            return Stream.fail(new SizeMismatch({ declared: declared.sizeBytes, actual: sizeBytes }))
          }
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
          flow.reading -= 1
        })
      )
    )
  })
