/** The database as a writer of blobs needs it: intents, blobs, pins, and the host's own references. */
import { Context, type Effect, type Option } from "effect"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/** An announced upload: bytes that will be sent under a fresh key. */
export interface Intent {
  readonly key: ObjectKey
  /** Null if it is known only after the last byte. */
  readonly digest: Digest | null
  /** From when a sweep may reap the intent. */
  readonly expiresAt: number
}

/**
 * Keeps a blob that nothing refers to yet, for a client that was told that it exists and whose reference
 * follows. It ends when it is released, or when a sweep finds it expired.
 */
export interface Pin {
  /** Never used before. */
  readonly id: string
  readonly digest: Digest
  /** From when a sweep may release it. */
  readonly expiresAt: number
}

/** Uploaded bytes, and the pins that keep them. */
export interface Publication {
  readonly key: ObjectKey
  readonly digest: Digest
  readonly sizeBytes: number
  /** Committed with the blob, for references that follow. Default none. */
  readonly pins?: ReadonlyArray<Pin>
}

/** The pins that {@link Blobs.adopt} adds and releases. */
export interface PinChange {
  /** Pins to add. Default none. */
  readonly pins?: ReadonlyArray<Pin>
  /** Ids of pins to release in the same transaction, whether or not they exist. Default none. */
  readonly release?: ReadonlyArray<string>
  /**
   * Adds and releases nothing unless every digest is live. Live blobs are marked used in any case. Default
   * false.
   */
  readonly allOrNothing?: boolean
}

/** Whether a verb takes part in a transaction that the caller has open with the same client. */
export interface Joining {
  /**
   * True: the verb is a savepoint of the caller's transaction, if there is one, and takes effect with its
   * commit. False, the default: the verb leaves that transaction and commits by itself.
   */
  readonly joins?: boolean
}

/**
 * Statements of the host that run in the verb's transaction, after those of the verb. They take effect with
 * its commit, and a failure of theirs rolls everything back.
 */
export interface HostStatements<Settled, E> {
  /**
   * Runs the statements, given what is live and locked in this transaction. Not called if nothing is. Sees the
   * transaction through the client of the database, and the caller's own services and clock.
   *
   * Runs again if the transaction is tried again: after a lost lock, a deadlock or a lost connection. One of the
   * tries is committed, or none. It must not do anything that a rollback does not undo.
   */
  readonly commit?: ((settled: Settled) => Effect.Effect<unknown, E>) | undefined
}

/** What {@link Blobs.publish} does beside publishing. */
export interface PublishOptions<E> extends HostStatements<Published, E> {
  /** Blobs to adopt in the same transaction, because the host's statements refer to them, too. Default none. */
  readonly adopts?: ReadonlyArray<Digest>
}

/** What a transaction of {@link Blobs.publish} has done when the host's statements run. */
export interface Published {
  /** In the order of the publications. */
  readonly outcomes: ReadonlyArray<PublishOutcome>
  /** The digests that are live: those published or deduplicated, and those of `adopts` that are live. */
  readonly live: ReadonlySet<Digest>
}

/**
 * How rarely a blob is marked used, in milliseconds. Otherwise every push would rewrite the row of a hot
 * blob, such as the empty layer of all images. 15 minutes is a quarter of the default grace period.
 */
export const touchEveryMillis = 15 * 60 * 1000

/**
 * - `published`: the blob now has the uploaded key
 * - `deduplicated`: the blob existed already, and the uploaded key is journaled
 * - `expired`: the intent had been reaped. Nothing changed. Upload again under a new key
 */
export type PublishOutcome = "published" | "deduplicated" | "expired"

/** The verbs of writers. */
export interface Blobs {
  /**
   * Locks those of `digests` and of the pins that are live, so that a purge waits, marks them used, and adds the
   * pins. Returns the live digests. Upload and publish the others. Releases pins only if every one of `digests`
   * is live, so that a writer that is too late keeps its pins.
   *
   * With `commit` the verb leaves the caller's transaction. Fails with `Unavailable` if it is unknown whether
   * the transaction was committed.
   */
  readonly adopt: <E = never>(
    now: number,
    digests: ReadonlyArray<Digest>,
    change?: PinChange & (Joining | HostStatements<ReadonlySet<Digest>, E>)
  ) => Effect.Effect<ReadonlySet<Digest>, DatabaseError | E>
  /**
   * Announces uploads, and must be committed before their first byte is sent. After a failure the intents
   * may exist or not: never use these keys again, draw others.
   */
  readonly intend: (intents: ReadonlyArray<Intent>) => Result<void>
  /** Delays the expiry of slow uploads. Returns those of `keys` whose intent still exists. */
  readonly renew: (keys: ReadonlyArray<ObjectKey>, expiresAt: number) => Result<ReadonlySet<ObjectKey>>
  /**
   * Records that the upload of `key` is a multipart upload with this id, so that the sweep that reaps its
   * intent can abort it. Returns false if the intent no longer exists.
   */
  readonly recordMultipart: (key: ObjectKey, uploadId: string) => Result<boolean>
  /**
   * Turns acknowledged uploads into blobs with pins. Returns the outcomes in the order given.
   *
   * Repeating the call is safe: an intent serves one committed call, so `commit` is committed once.
   */
  readonly publish: <E = never>(
    now: number,
    publications: ReadonlyArray<Publication>,
    options?: PublishOptions<E>
  ) => Effect.Effect<ReadonlyArray<PublishOutcome>, DatabaseError | E>
  /** Releases pins and returns how many existed. Joins the caller's transaction. */
  readonly unpin: (ids: ReadonlyArray<string>) => Result<number>
  /** Returns where the blob's bytes are, or none if it does not exist. */
  readonly locate: (
    digest: Digest,
    options?: Joining
  ) => Result<Option.Option<{ readonly key: ObjectKey; readonly sizeBytes: number }>>
  /** Returns those of `keys` that a blob row, an intent or a staged chunk owns. */
  readonly owned: (keys: ReadonlyArray<ObjectKey>) => Result<ReadonlySet<ObjectKey>>
  /**
   * Journals the key of an object that the writer no longer needs, due at once, unless something owns the
   * key. Returns whether it was journaled. The key had an intent before its first byte, so one snapshot in
   * which nothing owns it proves it dead.
   */
  readonly discard: (
    now: number,
    object: { readonly key: ObjectKey; readonly sizeBytes: number }
  ) => Result<boolean>
}

/** The writers' database. Errors, spans and scripts name its verbs `blobs.publish`. */
export class BlobDatabase extends Context.Service<BlobDatabase, Blobs>()(
  "artifact-gc/database/BlobDatabase"
) {}
