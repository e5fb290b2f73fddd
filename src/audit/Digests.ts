/**
 * Digests that can be computed: `algorithm:hex` with an algorithm that the OCI image specification registers.
 */
import { createHash } from "node:crypto"
import { Effect, Stream } from "effect"
import type { Digest } from "../domain/Digest.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import { Storage } from "../storage/Storage.ts"

const computable = /^(?:(sha256):[0-9a-f]{64}|(sha512):[0-9a-f]{128})$/

/** Returns the algorithm of a digest; null if this program cannot compute it. */
export const algorithmOf = (digest: Digest): "sha256" | "sha512" | null => {
  const [, sha256, sha512] = computable.exec(digest) ?? []
  return sha256 !== undefined ? "sha256" : sha512 !== undefined ? "sha512" : null
}

/** Reads an object chunk by chunk, and returns the digest and the number of its bytes. */
export const read = Effect.fnUntraced(function* (key: ObjectKey, algorithm: "sha256" | "sha512") {
  const storage = yield* Storage
  const hash = createHash(algorithm)
  let bytes = 0
  yield* Stream.runForEachArray(storage.get(key), (chunks) =>
    Effect.sync(() => {
      for (const chunk of chunks) {
        hash.update(chunk)
        bytes += chunk.length
      }
    })
  )
  return { digest: `${algorithm}:${hash.digest("hex")}`, bytes }
})
