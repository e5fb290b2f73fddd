/**
 * Upload sessions: a body that arrives in chunks, each perhaps at another replica. All state is in the
 * database and the store, so that any replica can continue any session.
 *
 * A staged chunk is an object whose key got an intent by `Blobs.intend` before its first byte. `append`
 * turns the intent into a chunk of the session. `complete` turns the chunk, or an object made of all
 * chunks, into a blob. A key that a session no longer needs is journaled in the transaction that decides
 * so. So at every instant each key belongs to exactly one of intent, session, blob and journal, and a
 * process that dies leaves no unknown key.
 */
import type { Option } from "effect"
import type { Publication, PublishOutcome } from "../../../database/contract/Blobs.ts"
import type { JournalEntry } from "../../../database/contract/Journal.ts"
import type { Result } from "../../../database/contract/Result.ts"
import type { Algorithm, Digest } from "../../../domain/Digest.ts"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"

/**
 * - `open`: takes chunks
 * - `finalizing`: a replica makes a blob of it, under a lease
 * - `done`: it became the blob `digest`. Kept for a while, so that the answer can be repeated
 *
 * A session that was cancelled or has expired has no row.
 */
export type SessionState = "open" | "finalizing" | "done"

/** An upload session as it is stored. */
export interface UploadSession {
  readonly id: string
  /** The repository of the upload. No other repository sees it. */
  readonly repository: string
  /** The algorithm of its chunks' digests. */
  readonly algorithm: Algorithm
  readonly state: SessionState
  /** Bytes in its chunks, which is where the next one begins. */
  readonly receivedBytes: number
  /** Null unless it is done. */
  readonly digest: Digest | null
  readonly lastActivityAt: number
  /** A hash that a later request may continue. Absent if none was saved. */
  readonly hash?: SavedHash | undefined
}

/**
 * The state of a hash of the session's first bytes, so that no replica has to read them again. It is stored in the
 * transaction that adds the chunk which ends at `bytes`. A session's bytes up to there never change afterwards.
 */
export interface SavedHash {
  /** The program that wrote `state`, with its version. No other one reads it. */
  readonly writtenBy: string
  /** How many bytes were hashed. Less than the session's `receivedBytes` if later chunks were not hashed. */
  readonly bytes: number
  readonly state: Uint8Array
}

/** Bytes `startByte` to `startByte + sizeBytes - 1` of a session. */
export interface StagedChunk {
  readonly startByte: number
  readonly sizeBytes: number
  readonly key: ObjectKey
  /** The chunk's own digest, by the session's algorithm. */
  readonly digest: Digest
}

/** A chunk that was sent, and the hash of all bytes up to its end, if there is one. */
export interface SentChunk extends StagedChunk {
  readonly hash?: SavedHash | undefined
}

/** Names a session. A session of another repository counts as unknown. */
export interface SessionRef {
  readonly repository: string
  readonly id: string
}

/**
 * - `appended`: the chunk is part of the session, which is returned as it is now. Also answered if it was
 *   so already, and for a chunk without bytes
 * - `conflict`: the session is not open, or does not end at `startByte`
 * - `unknown`: the session does not exist
 * - `expired`: the intent was reaped. The client must send the bytes again
 *
 * In all cases but the first the intent, if it still existed, has become a journal row.
 */
export type AppendOutcome =
  | { readonly _tag: "appended"; readonly session: UploadSession }
  | { readonly _tag: "conflict"; readonly session: UploadSession }
  | { readonly _tag: "unknown" }
  | { readonly _tag: "expired" }

/** The lease under which one replica finishes a session. */
export interface Lease {
  /** Never used before. */
  readonly token: string
  /** When it ends. */
  readonly until: number
}

/**
 * - `claimed`: the caller has it until the lease ends. Returned with its chunks in order
 * - `busy`: another caller has it until `until`
 * - `done`: it is a blob already
 * - `unknown`: the session does not exist
 */
export type ClaimOutcome =
  | { readonly _tag: "claimed"; readonly session: UploadSession; readonly chunks: ReadonlyArray<StagedChunk> }
  | { readonly _tag: "busy"; readonly session: UploadSession; readonly until: number }
  | { readonly _tag: "done"; readonly session: UploadSession; readonly digest: Digest }
  | { readonly _tag: "unknown" }

/** Sessions without activity that are not done, with the chunks and bytes that they have. */
export interface IdleSessions {
  readonly sessions: number
  readonly chunks: number
  readonly bytes: number
}

/** Upload sessions that are open or being finished. */
export interface OpenSessions {
  readonly sessions: number
  /** The earliest last activity of one; null without one. */
  readonly oldestActivityAt: number | null
}

/** Which sessions to end, and when their objects may be deleted. */
export interface ExpireRequest {
  readonly now: number
  /** Ends sessions without activity since then. */
  readonly idleSince: number
  /** Limits sessions and chunks together. The first session is ended whole even if it has more chunks. */
  readonly limit: number
  /** When the objects may be deleted. */
  readonly deleteNotBefore: number
  /** Until when no other collector deletes them; null leaves them to any collector. */
  readonly leaseUntil: number | null
}

/** What `expire` ended. */
export interface ExpiredSessions {
  readonly sessions: number
  /** Sessions that were done, whose answer is no longer kept. */
  readonly forgotten: number
  /**
   * The chunks' keys in key order, journaled and leased. The caller may delete their objects like those of
   * a purge.
   */
  readonly journaled: ReadonlyArray<JournalEntry>
}

/** The verbs of upload sessions. */
export interface Sessions {
  /** Begins a session, open and empty. Idempotent. */
  readonly open: (now: number, session: SessionRef & { readonly algorithm: Algorithm }) => Result<void>
  /** Returns a session. */
  readonly read: (session: SessionRef) => Result<Option.Option<UploadSession>>
  /** Records that bytes arrive. Returns false if the session is done or does not exist. */
  readonly touch: (now: number, session: SessionRef) => Result<boolean>
  /**
   * Compare and set: adds a chunk with an intent to an open session that ends where the chunk begins. Replaces the saved hash
   * in the same transaction, or keeps the older one if the chunk has none.
   */
  readonly append: (now: number, session: SessionRef, chunk: SentChunk) => Result<AppendOutcome>
  /**
   * Claims for finishing a session that is open, or whose lease has ended at `now`. The same token claims
   * it again.
   */
  readonly claim: (now: number, session: SessionRef, lease: Lease) => Result<ClaimOutcome>
  /** Extends a lease and records activity. Returns false if this token no longer has the session. */
  readonly renewClaim: (now: number, session: SessionRef, lease: Lease) => Result<boolean>
  /** Opens a claimed session again, as it was. Returns false if this token no longer has it. */
  readonly release: (now: number, session: SessionRef, token: string) => Result<boolean>
  /**
   * Publishes as `Blobs.publish` does, marks the session done, forgets its hash and journals its other chunks, in one
   * transaction and only while this token has the session. The publication's key has an intent, or is that
   * of one of the session's chunks. Repeated with the same token and digest it returns the first outcome.
   *
   * `lost`: this token no longer has the session. Nothing changed, except that the key's intent has become
   * a journal row. `expired`: the intent was reaped. Nothing changed.
   */
  readonly complete: (
    now: number,
    session: SessionRef,
    token: string,
    publication: Publication
  ) => Result<PublishOutcome | "lost">
  /**
   * Ends a session that is not done and journals its chunks. Returns false if it does not exist, as a
   * repetition finds, or if a replica is finishing it at `now`.
   */
  readonly cancel: (now: number, session: SessionRef) => Result<boolean>
  /**
   * Ends sessions without activity since `idleSince`, the longest idle first, and journals their chunks.
   * Forgets sessions that have been done for as long. Takes at least one session if there is one, and
   * otherwise no more than `limit` sessions and chunks together. Skips leases that have not ended at `now`,
   * and sessions that another transaction holds. An answer without ended and forgotten sessions means that
   * none is left.
   */
  readonly expire: (request: ExpireRequest) => Result<ExpiredSessions>
  /** Returns what `expire` would end, without sessions that are done. */
  readonly idle: (now: number, idleSince: number) => Result<IdleSessions>
  /** Counts the sessions that are open or being finished. */
  readonly backlog: Result<OpenSessions>
}
