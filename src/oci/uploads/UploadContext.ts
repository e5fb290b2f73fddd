/** What every request of an upload session needs, and the checks that all of them make. */
import { Effect, Option, type Semaphore, Sink, Stream } from "effect"
import type { BodyProgress } from "../../blobs/BodyProgress.ts"
import type { WriterContext } from "../../blobs/WriterContext.ts"
import type { RegistryDatabase, SessionRef, UploadSession } from "../database/RegistryDatabase.ts"
import { OffsetMismatch, UploadUnknown } from "./errors.ts"
import type { SessionHashes } from "./SessionHashes.ts"

/** Services and settings of the upload service. `pinMillis` is how long a repository holds a blob. */
export interface UploadContext extends WriterContext {
  readonly registry: RegistryDatabase["Service"]
  readonly hashes: SessionHashes
  /** Prefix of the keys of staged chunks. */
  readonly chunkPrefix: string
  /** The shortest chunk that the store joins with others, in bytes. */
  readonly joinFromBytes: number
  /** Length of a finish lease, in milliseconds. */
  readonly finishLeaseMillis: number
  /** Longest that a request waits for another that finishes the same session, in milliseconds. */
  readonly busyWaitMillis: number
  /** The sessions for which a request waits, while another finishes them. */
  readonly waiting: Set<string>
  /** Bounds sessions whose bytes move when they are closed. */
  readonly assemblies: Semaphore.Semaphore
}

/** A session as its client sees it. */
export interface UploadStatus {
  /** The session's id. */
  readonly id: string
  readonly repository: string
  /** The offset at which the next chunk begins, in bytes. */
  readonly receivedBytes: number
}

/**
 * Returns how often a session's activity is recorded while bytes arrive, in milliseconds. Once a minute is
 * rare enough to cost nothing. An installation with shorter leases has shorter graces too, and records more
 * often.
 */
export const activityMillis = ({ leaseMillis }: Pick<UploadContext, "leaseMillis">): number =>
  Math.min(60_000, leaseMillis / 3)

/** Returns the part of a session's row that its client sees. */
export const statusOf = ({ id, receivedBytes, repository }: UploadSession): UploadStatus => ({
  id,
  repository,
  receivedBytes
})

/** Reads the session. Fails with `UploadUnknown` if it does not exist. */
export const readSession = Effect.fnUntraced(function* ({ registry }: UploadContext, session: SessionRef) {
  const found = yield* registry.sessions.read(session)
  if (Option.isNone(found)) return yield* new UploadUnknown({ ...session })
  return found.value
})

/** Returns the error for a chunk at `startByte` that does not fit the session. */
export const offsetMismatch = ({ id, receivedBytes }: UploadSession, startByte: number): OffsetMismatch =>
  new OffsetMismatch({ id, startByte, receivedBytes })

/**
 * Returns the body, or null if it is empty: then the caller declares no intent and writes nothing. Reads no
 * further than the first byte, and reads nothing if the length is known to be more than 0.
 */
export const nonEmptyBody = Effect.fnUntraced(function* <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number | undefined,
  progress: BodyProgress
) {
  if (sizeBytes !== undefined && sizeBytes > 0) return body
  progress.openBodies += 1
  const [[first], rest] = yield* Effect.ensuring(
    Stream.peel(
      Stream.filter(body, (bytes) => bytes.length > 0),
      Sink.take<Uint8Array>(1)
    ),
    Effect.sync(() => {
      progress.openBodies -= 1
    })
  )
  if (first === undefined) return null
  return Stream.concat(Stream.make(first), rest)
})
