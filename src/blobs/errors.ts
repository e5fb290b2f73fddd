/** Why a blob store refuses, in the caller's terms. */
import { Schema } from "effect"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import { Digest } from "../domain/Digest.ts"
import type { StorageError } from "../domain/StorageError.ts"

/** The bytes that arrived do not have the declared digest. Nothing was stored. */
export class DigestMismatch extends Schema.TaggedError<DigestMismatch>()("DigestMismatch", {
  /** The caller's digest. */
  declared: Digest,
  /** The digest of the bytes. */
  actual: Digest
}) {
  override get message(): string {
    return `The bytes hash to ${this.actual}, but ${this.declared} was declared. Nothing was stored; send the right bytes.`
  }
}

/** The body does not have the declared length. Nothing was stored. */
export class SizeMismatch extends Schema.TaggedError<SizeMismatch>()("SizeMismatch", {
  /** The caller's length, in bytes. */
  declared: Schema.Int,
  /** The length of the body, in bytes. Of a body that is too long: the bytes read until it was refused. */
  actual: Schema.Int
}) {
  override get message(): string {
    const what = this.actual > this.declared ? "is longer than" : `ends at byte ${this.actual} of`
    return `The body ${what} the ${this.declared} bytes that were declared. Nothing was stored; send the whole body, or declare its right size.`
  }
}

/** The blob store cannot compute digests of the declared kind. Nothing was read. */
export class DigestUnsupported extends Schema.TaggedError<DigestUnsupported>()("DigestUnsupported", {
  /** The declared text. */
  digest: Digest
}) {
  override get message(): string {
    return `"${this.digest}" is not a digest that can be checked. Nothing was stored; declare sha256: with 64 or sha512: with 128 lower-case hexadecimal digits, or no digest.`
  }
}

/** No live blobs have these digests. */
export class BlobUnknown extends Schema.TaggedError<BlobUnknown>()("BlobUnknown", {
  /** The digests that were not found. */
  digests: Schema.NonEmptyArray(Digest)
}) {
  override get message(): string {
    return this.digests.length === 1
      ? `Blob ${this.digests[0]} does not exist: it was never stored, or was deleted after its last reference. Put the bytes again.`
      : `Blobs ${this.digests.join(", ")} do not exist: they were never stored, or were deleted after their last reference. Put the bytes again.`
  }
}

/** A collector reaped the upload before it was published. Nothing was stored. */
export class UploadExpired extends Schema.TaggedError<UploadExpired>()("UploadExpired", {
  /** The digest of the bytes. Null if none was declared and the body was not read to its end. */
  digest: Schema.NullOr(Digest),
  /** How often the upload was tried. */
  attempts: Schema.Int
}) {
  override get message(): string {
    const times = this.attempts === 1 ? "once" : `${this.attempts} times`
    return `The upload of ${this.digest ?? "bytes without a declared digest"} lost its lease ${times}, and its bytes were deleted. Nothing was stored; send them again, and raise the upload lease if this happens often.`
  }
}

/**
 * Errors of a `put` or `putAll`. After each of them the blob is stored with all its references and pins, or
 * not at all.
 */
export type PutFailure = DatabaseError | StorageError | DigestMismatch | SizeMismatch | UploadExpired
