/** The side of the writers: blobs, references, intents, pins. */
import { Context, type Option } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Result } from "./Result.ts"

/** A row that keeps a blob alive. */
export type Reference =
  | { readonly _tag: "Artifact"; readonly repository: string; readonly name: string; readonly digest: Digest }
  | { readonly _tag: "LocalFile"; readonly path: string; readonly digest: Digest }

/** Bytes about to be uploaded under a fresh key. */
export interface Intent {
  readonly key: ObjectKey
  /** Null when it will be known only after the last byte. */
  readonly digest: Digest | null
  readonly expiresAt: number
}

/**
 * Keeps a blob that nothing refers to yet: the answer "this blob exists" to somebody whose reference comes later. It
 * ends when it is released or, some time after `expiresAt`, when a sweep expires it.
 */
export interface Pin {
  /** Never used before. */
  readonly id: string
  readonly digest: Digest
  readonly expiresAt: number
}

/** Bytes that have been uploaded, with what refers to them. */
export interface Publication {
  readonly key: ObjectKey
  readonly digest: Digest
  readonly sizeBytes: number
  readonly references: ReadonlyArray<Reference>
  /** Committed with the blob, for references that come later. */
  readonly pins?: ReadonlyArray<Pin>
}

/** The pins that {@link Blobs.adopt} adds and releases. */
export interface PinChange {
  /** To be added. */
  readonly pins?: ReadonlyArray<Pin>
  /** Ids of pins to be released in the same transaction, whether or not they exist. */
  readonly release?: ReadonlyArray<string>
  /** Add nothing and release nothing unless every digest lives. Those that do are marked used all the same. */
  readonly allOrNothing?: boolean
}

/** Whether a verb takes part in a transaction that the caller has open with the same client. */
export interface Joining {
  /**
   * True: the verb is a savepoint of the caller's transaction, if there is one, and takes effect with its commit. False,
   * the default: the verb leaves that transaction and commits by itself.
   */
  readonly joins?: boolean
}

/**
 * How rarely a blob is marked used, in milliseconds. A hot blob (the empty layer of every image) would otherwise be
 * rewritten by each push; 15 minutes is a quarter of the default grace period.
 */
export const touchEveryMillis = 15 * 60 * 1000

/**
 * - `published`: the blob now lives at the key that was uploaded
 * - `deduplicated`: it lived already; the uploaded key is journaled
 * - `expired`: the intent had been reaped; nothing changed, upload again under a new key
 */
export type PublishOutcome = "published" | "deduplicated" | "expired"

/** The writers' side. */
export interface Blobs {
  /**
   * For each digest that lives, adds the references and pins and marks the blob used, under a lock that a purge waits
   * for; answers the digests that live. A digest that is absent from the answer must be uploaded, then published.
   * Pins are released only when every digest of `references` lives, so that whoever came too late keeps what it had.
   */
  readonly adopt: (
    now: number,
    references: ReadonlyArray<Reference>,
    change?: PinChange & Joining
  ) => Result<ReadonlySet<Digest>>
  /**
   * Announces uploads. Must be committed before the first byte is sent. After a failure the keys may be announced or
   * not: never use them again, draw others.
   */
  readonly intend: (intents: ReadonlyArray<Intent>) => Result<void>
  /** Puts off the expiry of uploads that take long; those of `keys` whose intent is still there. */
  readonly renew: (keys: ReadonlyArray<ObjectKey>, expiresAt: number) => Result<ReadonlySet<ObjectKey>>
  /**
   * Notes that the upload of `key` goes in parts, under `uploadId`, so that whoever reaps its intent can abort it. False
   * when the intent is gone.
   */
  readonly recordMultipart: (key: ObjectKey, uploadId: string) => Result<boolean>
  /** Turns acknowledged uploads into blobs with references and pins. In the order given. */
  readonly publish: (
    now: number,
    publications: ReadonlyArray<Publication>
  ) => Result<ReadonlyArray<PublishOutcome>>
  /** Releases pins; how many there were. Joins the caller's transaction. */
  readonly unpin: (ids: ReadonlyArray<string>) => Result<number>
  /** Removes references; how many there were. Joins the caller's transaction. */
  readonly unreference: (references: ReadonlyArray<Reference>) => Result<number>
  /** Where the blob's bytes are, or none. */
  readonly locate: (
    digest: Digest,
    options?: Joining
  ) => Result<Option.Option<{ readonly key: ObjectKey; readonly sizeBytes: number }>>
  /** Those of `keys` that a blob row, an upload intent or an upload session owns. Asked before anything found by listing is deleted. */
  readonly owned: (keys: ReadonlyArray<ObjectKey>) => Result<ReadonlySet<ObjectKey>>
  /**
   * Journals the key of an object that the writer no longer needs, due at once, unless something owns the key. Returns
   * whether it was journaled. The key had an intent before its first byte, so one snapshot in which nothing owns it
   * proves it dead.
   */
  readonly discard: (
    now: number,
    object: { readonly key: ObjectKey; readonly sizeBytes: number }
  ) => Result<boolean>
}

/** The writers' database. Its verbs are named `blobs.publish` in errors, spans and scripts. */
export class BlobDatabase extends Context.Service<BlobDatabase, Blobs>()(
  "artifact-gc/database/BlobDatabase"
) {}
