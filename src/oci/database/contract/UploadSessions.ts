/**
 * Upload sessions: a body that comes in chunks, each perhaps to another replica. All state is here and in the store, so
 * that any replica can go on with any session.
 *
 * A staged chunk is an object whose key was announced by `Blobs.intend` before its first byte. `append` turns the
 * announcement into a chunk of the session, `complete` turns the chunk, or an object made of all of them, into a blob,
 * and whatever a session does not need any more is journaled in the transaction that says so. So at every instant each
 * key belongs to exactly one of announcement, session, blob and journal, and whoever dies leaves nothing unknown.
 */
import type { Option } from "effect"
import type { Publication, PublishOutcome } from "../../../database/contract/Blobs.ts"
import type { JournalEntry } from "../../../database/contract/Journal.ts"
import type { Result } from "../../../database/contract/Result.ts"
import type { Algorithm, Digest } from "../../../domain/Digest.ts"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"

/**
 * - `open`: takes chunks
 * - `finalizing`: somebody makes a blob of it, under a lease
 * - `done`: it became the blob `digest`; kept for a while, for the answer to be given again
 *
 * A session that was cancelled or expired has no row.
 */
export type SessionState = "open" | "finalizing" | "done"

export interface UploadSession {
  readonly id: string
  /** Whose upload it is; no other repository can see it. */
  readonly repository: string
  /** By which its chunks are hashed. */
  readonly algorithm: Algorithm
  readonly state: SessionState
  /** Bytes in its chunks: where the next one begins. */
  readonly receivedBytes: number
  /** Null unless it is done. */
  readonly digest: Digest | null
  readonly lastActivityAt: number
}

/** Bytes `startByte` to `startByte + sizeBytes - 1` of a session. */
export interface StagedChunk {
  readonly startByte: number
  readonly sizeBytes: number
  readonly key: ObjectKey
  /** Of the chunk by itself, by the session's algorithm. */
  readonly digest: Digest
}

/** Names a session; one of another repository counts as unknown. */
export interface SessionRef {
  readonly repository: string
  readonly id: string
}

/**
 * - `appended`: the chunk is part of the session, which is as answered; also when it was already, and when it has no byte
 * - `conflict`: the session is open and ends elsewhere than `startByte`, or it is not open
 * - `unknown`: there is no such session
 * - `expired`: the announcement was reaped; the bytes must come again
 *
 * In all cases but the first the announcement, if it is still there, has become a journal row.
 */
export type AppendOutcome =
  | { readonly _tag: "appended"; readonly session: UploadSession }
  | { readonly _tag: "conflict"; readonly session: UploadSession }
  | { readonly _tag: "unknown" }
  | { readonly _tag: "expired" }

/** By which one of those who finish a session holds it. */
export interface Lease {
  /** Never used before. */
  readonly token: string
  readonly until: number
}

/**
 * - `claimed`: it is this caller's until the lease ends; with its chunks in order
 * - `busy`: somebody else has it until `until`
 * - `done`: it is a blob already
 * - `unknown`: there is no such session
 */
export type ClaimOutcome =
  | { readonly _tag: "claimed"; readonly session: UploadSession; readonly chunks: ReadonlyArray<StagedChunk> }
  | { readonly _tag: "busy"; readonly session: UploadSession; readonly until: number }
  | { readonly _tag: "done"; readonly session: UploadSession; readonly digest: Digest }
  | { readonly _tag: "unknown" }

/** Sessions without activity that are not done, with what they have. */
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

/** Which sessions are to be ended, and when their objects may be deleted. */
export interface ExpireRequest {
  readonly now: number
  /** Sessions without activity since then. */
  readonly idleSince: number
  /** Sessions and chunks together, but for one session, which is ended whole however many chunks it has. */
  readonly limit: number
  /** When the objects may be deleted. */
  readonly deleteNotBefore: number
  /** Until when no other collector deletes them; null leaves them to whoever comes first. */
  readonly leaseUntil: number | null
}

/** What `expire` took away. */
export interface ExpiredSessions {
  readonly sessions: number
  /** Sessions that were done, and that nobody will ask for again. */
  readonly forgotten: number
  /** The chunks' keys, journaled and leased: the caller may delete their objects as those of a purge. In key order. */
  readonly journaled: ReadonlyArray<JournalEntry>
}

export interface Sessions {
  /** Begins a session, open and empty. Beginning it again does no harm. */
  readonly open: (now: number, session: SessionRef & { readonly algorithm: Algorithm }) => Result<void>
  readonly read: (session: SessionRef) => Result<Option.Option<UploadSession>>
  /** Notes that bytes are coming; false when the session is gone or done. */
  readonly touch: (now: number, session: SessionRef) => Result<boolean>
  /** Compare and set: adds an announced chunk to an open session that ends where the chunk begins. */
  readonly append: (now: number, session: SessionRef, chunk: StagedChunk) => Result<AppendOutcome>
  /** Takes an open session, or one whose lease has ended at `now`, for finishing. The same token claims it again. */
  readonly claim: (now: number, session: SessionRef, lease: Lease) => Result<ClaimOutcome>
  /** Puts off the end of a lease and notes activity; false when it is not this token's any more. */
  readonly renewClaim: (now: number, session: SessionRef, lease: Lease) => Result<boolean>
  /** Gives a claimed session back, open and as it was; false when it is not this token's any more. */
  readonly release: (now: number, session: SessionRef, token: string) => Result<boolean>
  /**
   * In one transaction, and only while the session is this token's: the publication as by `Blobs.publish`, whose key
   * is announced or is that of one of the session's chunks; the session done; its other chunks journaled. Done again
   * with the same token and digest it answers what it did.
   *
   * `lost`: the session is not this token's any more, and nothing has changed, but that the key's announcement has
   * become a journal row. `expired`: the announcement was reaped, and nothing has changed.
   */
  readonly complete: (
    now: number,
    session: SessionRef,
    token: string,
    publication: Publication
  ) => Result<PublishOutcome | "lost">
  /**
   * Ends a session that is not done and journals its chunks. False when there is none, which is also what a repetition
   * finds, or when somebody is finishing it at `now`.
   */
  readonly cancel: (now: number, session: SessionRef) => Result<boolean>
  /**
   * Ends sessions without activity since `idleSince`, the longest idle first, and journals their chunks; forgets those
   * that are done for as long. At least one session if there is any, and together no more than `limit` sessions and
   * chunks otherwise. Passes over a lease that has not ended at `now`, and over sessions that somebody is at work on.
   * Nothing is left to do when the answer has neither sessions nor forgotten ones.
   */
  readonly expire: (request: ExpireRequest) => Result<ExpiredSessions>
  /** What `expire` would end, those that are done not counted. */
  readonly idle: (now: number, idleSince: number) => Result<IdleSessions>
  /** Counts the sessions that are open or being finished. */
  readonly backlog: Result<OpenSessions>
}
