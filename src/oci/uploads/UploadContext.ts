/** What every request of an upload session needs, and how one is refused. */
import { Effect, Option, Sink, Stream } from "effect"
import type { Writer } from "../../blobs/AnnouncedUpload.ts"
import type { Flow } from "../../blobs/Measure.ts"
import type { SessionRef, UploadSession } from "../database/contract/UploadSessions.ts"
import type { UploadStatus } from "../Uploads.ts"
import { OffsetMismatch, UploadUnknown } from "./errors.ts"

/** `prefix` is where keys of blobs begin, `pinMillis` how long a repository holds a blob. */
export interface Keeper extends Writer {
  /** Where keys of staged chunks begin. */
  readonly chunkPrefix: string
  readonly finishLeaseMillis: number
  readonly busyWaitMillis: number
}

/**
 * How often a session's activity is noted while bytes come: once a minute is rare enough to cost nothing. An installation
 * whose leases are shorter has shorter graces too.
 */
export const activityMillis = ({ leaseMillis }: Pick<Keeper, "leaseMillis">): number =>
  Math.min(60_000, leaseMillis / 3)

export const statusOf = ({ id, receivedBytes, repository }: UploadSession): UploadStatus => ({
  id,
  repository,
  receivedBytes
})

/** The session as it is now. */
export const known = Effect.fnUntraced(function* ({ database }: Keeper, session: SessionRef) {
  const found = yield* database.sessions.read(session)
  if (Option.isNone(found)) return yield* new UploadUnknown({ ...session })
  return found.value
})

/** Why a chunk does not fit a session that is as given. */
export const offsetMismatch = ({ id, receivedBytes }: UploadSession, startByte: number): OffsetMismatch =>
  new OffsetMismatch({ id, startByte, receivedBytes })

/**
 * The body, or null when there is not a byte in it, so that nothing is announced or written for those who send an empty
 * one. Reads no further than to its first byte, and not at all when its length is known to be more than 0.
 */
export const unlessEmpty = Effect.fnUntraced(function* <E, R>(
  body: Stream.Stream<Uint8Array, E, R>,
  sizeBytes: number | undefined,
  flow: Flow
) {
  if (sizeBytes !== undefined && sizeBytes > 0) return body
  flow.reading += 1
  const [[first], rest] = yield* Effect.ensuring(
    Stream.peel(
      Stream.filter(body, (bytes) => bytes.length > 0),
      Sink.take<Uint8Array>(1)
    ),
    Effect.sync(() => {
      flow.reading -= 1
    })
  )
  if (first === undefined) return null
  return Stream.concat(Stream.make(first), rest)
})
