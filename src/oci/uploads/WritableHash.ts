/**
 * A hash whose state can be written down and continued by another process. Node's own hash cannot. This one is WebAssembly, and
 * takes five times the processor time (docs/decisions/0041), so it is loaded and used only where it saves more.
 *
 * A state is of use to the version that wrote it alone. The library puts a mark of its own program into each state and refuses
 * others. The version is compared before. A checksum ties a state to its session and to the number of its bytes.
 */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import type { IHasher } from "hash-wasm"
import { type Algorithm, type Digest, fromHex } from "../../domain/Digest.ts"
import type { SavedHash } from "../database/contract/UploadSessions.ts"

/** Names the program in saved states. A test compares it with the library's version. */
export const libraryVersion = "hash-wasm 4.13.0"

const writtenBy = (algorithm: Algorithm) => `${libraryVersion} ${algorithm}`

/** The hash of some bytes, of which more may follow. */
export interface WritableHash {
  /** Adds bytes. */
  readonly update: (bytes: Uint8Array) => void
  /** Returns the state, for the session whose first bytes it is of. */
  readonly save: (session: string) => SavedHash
  /** Returns the digest of the bytes so far. More may follow. */
  readonly digest: () => Digest
}

/** One instance an algorithm serves all uploads: each loads its own state before it does anything, without a pause between. */
const loading = new Map<Algorithm, Promise<IHasher>>()

const load = (algorithm: Algorithm): Promise<IHasher> => {
  const known = loading.get(algorithm)
  if (known !== undefined) return known
  const fresh = import("hash-wasm").then((library) =>
    algorithm === "sha256" ? library.createSHA256() : library.createSHA512()
  )
  loading.set(algorithm, fresh)
  return fresh
}

/** Returns a hash of no bytes, or null where WebAssembly does not run. */
export const begun = (algorithm: Algorithm): Effect.Effect<WritableHash | null> =>
  withInstance(algorithm, (instance) => hashing(algorithm, instance, instance.init().save(), 0))

/**
 * Returns the hash that a state continues, or null if the state is that of another version, algorithm or session, damaged, or
 * not of `bytes` bytes.
 */
export const continued = (
  algorithm: Algorithm,
  session: string,
  saved: SavedHash | undefined,
  bytes: number
): Effect.Effect<WritableHash | null> => {
  if (saved === undefined || saved.bytes !== bytes || saved.writtenBy !== writtenBy(algorithm)) {
    return Effect.succeed(null)
  }
  const state = saved.state.subarray(checksumBytes)
  if (!checksum(algorithm, session, bytes, state).equals(saved.state.subarray(0, checksumBytes))) {
    return Effect.succeed(null)
  }
  return withInstance(algorithm, (instance) => {
    instance.load(state)
    return hashing(algorithm, instance, state, bytes)
  })
}

const checksumBytes = 32

/** It guards against faults and not against an attacker, who could write any row. */
const checksum = (algorithm: Algorithm, session: string, bytes: number, state: Uint8Array): Buffer =>
  createHash("sha256")
    .update(`${writtenBy(algorithm)} ${bytes} ${session} `)
    .update(state)
    .digest()

const withInstance = (algorithm: Algorithm, use: (instance: IHasher) => WritableHash) =>
  Effect.tryPromise(() => load(algorithm).then(use)).pipe(
    Effect.catch((error) =>
      Effect.as(
        Effect.logWarning(
          "The saved hash of an upload cannot be continued. Nothing is lost: its bytes are read again when it is closed.",
          error
        ),
        null
      )
    )
  )

const hashing = (
  algorithm: Algorithm,
  instance: IHasher,
  begin: Uint8Array,
  beginBytes: number
): WritableHash => {
  let [state, bytes] = [begin, beginBytes]
  return {
    update: (more) => {
      state = instance.load(state).update(more).save()
      bytes += more.length
    },
    save: (session) => ({
      writtenBy: writtenBy(algorithm),
      bytes,
      state: Buffer.concat([checksum(algorithm, session, bytes, state), state])
    }),
    digest: () => fromHex(algorithm, instance.load(state).digest("hex"))
  }
}
