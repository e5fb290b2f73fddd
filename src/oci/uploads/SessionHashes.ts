/**
 * The hash of a session of several chunks, continued from chunk to chunk, so that no byte is read again for its digest.
 *
 * Two ways, and each may end at any chunk:
 * - This process keeps Node's hash of a session that it served last. It costs nothing more than hashing. It is a cache: a
 *   session that moves to another replica, or outlives this process, is not found in it.
 * - The row of the session keeps the state of a {@link WritableHash}, from the first chunk on if the client says that it sends
 *   chunks. A replica that has no hash of its own continues it.
 *
 * Neither is trusted alone. A kept hash knows the keys of its chunks, and counts only for a session with exactly those. A digest
 * that is not the declared one is never an answer: the bytes are read again.
 */
import { createHash, type Hash } from "node:crypto"
import { Effect } from "effect"
import type { Beside } from "../../blobs/Measure.ts"
import { type Algorithm, type Digest, fromHex } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { SavedHash, StagedChunk, UploadSession } from "../database/contract/UploadSessions.ts"
import { begun, continued, type WritableHash } from "./WritableHash.ts"

/** The hash of a session's bytes up to the end of a chunk that is being sent. */
export interface ChunkHash {
  readonly beside: Beside
  /** Returns the state to store with the chunk. Undefined if there is none, or if other bytes were hashed than were sent. */
  readonly saved: (sizeBytes: number) => SavedHash | undefined
  /** Keeps the hash for the next request. Call it after the chunk became part of the session. */
  readonly keep: (chunk: Pick<StagedChunk, "key" | "sizeBytes">) => void
}

/** The hashes that a process keeps. */
export interface SessionHashes {
  /** Returns the hash of a session to which a chunk is sent. `isOneOfSeveral`: the client says that it sends chunks. */
  readonly chunk: (session: UploadSession, isOneOfSeveral: boolean) => Effect.Effect<ChunkHash>
  /** Returns the digest of all bytes of a session, or null if this process does not know it. */
  readonly digestOf: (session: UploadSession, chunks: ReadonlyArray<StagedChunk>) => Digest | null
  /** Forgets the hash of a session. */
  readonly forget: (id: string) => void
}

interface Kept {
  readonly algorithm: Algorithm
  readonly bytes: number
  readonly hash: Hash
  /** The hash of the chunks' keys. A key is never written twice, so these keys are these bytes. */
  readonly keys: Hash
}

/** A kept hash takes about a kilobyte. The sessions that were served last are the likeliest to return. */
const keptMax = 1000

/** Returns hashes of no session, of which at most `max` are kept. */
export const make = (max = keptMax): SessionHashes => {
  const kept = new Map<string, Kept>()
  const keep = (id: string, hash: Kept) => {
    kept.delete(id)
    kept.set(id, hash)
    const [oldest] = kept.keys()
    if (kept.size > max && oldest !== undefined) kept.delete(oldest)
  }
  return {
    chunk: Effect.fnUntraced(function* (session, isOneOfSeveral) {
      const { algorithm, id, receivedBytes } = session
      const before = kept.get(id)
      const own = before !== undefined && before.bytes === receivedBytes ? before : null
      const writable = yield* writableOf(session, isOneOfSeveral, own !== null)
      const native = nativeOf(receivedBytes, own)
      let counted = 0
      return {
        beside: {
          update: (bytes) => {
            counted += bytes.length
            native.update(bytes)
            writable?.update(bytes)
          },
          ended: native.ended
        },
        saved: (sizeBytes) => (counted === sizeBytes ? writable?.save(id) : undefined),
        keep: ({ key, sizeBytes }) => {
          const hash = native.hash()
          if (hash === null || counted !== sizeBytes) {
            kept.delete(id)
            return
          }
          const keys = own === null ? createHash("sha256") : own.keys.copy()
          named(keys, key)
          keep(id, { algorithm, bytes: receivedBytes + sizeBytes, hash, keys })
        }
      } satisfies ChunkHash
    }),
    digestOf: ({ algorithm, id, receivedBytes }, chunks) => {
      const known = kept.get(id)
      if (known === undefined || known.algorithm !== algorithm || known.bytes !== receivedBytes) return null
      const keys = createHash("sha256")
      for (const { key } of chunks) named(keys, key)
      return keys.digest("hex") === known.keys.copy().digest("hex")
        ? fromHex(algorithm, known.hash.copy().digest("hex"))
        : null
    },
    forget: (id) => kept.delete(id)
  }
}

const named = (keys: Hash, key: ObjectKey) => keys.update(key).update("\0")

/** A first chunk is hashed for its own digest anyway. Each other one continues the hash that was kept. */
const nativeOf = (receivedBytes: number, own: Kept | null) => {
  let hash: Hash | null = own?.hash.copy() ?? null
  return {
    update: (bytes: Uint8Array) => void hash?.update(bytes),
    ended: (chunks: Hash) => {
      if (receivedBytes === 0) hash = chunks.copy()
    },
    hash: () => hash
  }
}

const writableOf = (
  { algorithm, hash, id, receivedBytes }: UploadSession,
  isOneOfSeveral: boolean,
  isKept: boolean
): Effect.Effect<WritableHash | null> => {
  if (receivedBytes === 0) return isOneOfSeveral ? begun(algorithm) : Effect.succeed(null)
  return isKept ? Effect.succeed(null) : continued(algorithm, id, hash, receivedBytes)
}
