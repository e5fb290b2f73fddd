/** Why a blob store refuses, in the caller's terms. */
import { Schema } from "effect"
import { Digest } from "../domain/Digest.ts"

/** The bytes that arrived are not those that were announced. Nothing is visible. */
export class DigestMismatch extends Schema.TaggedError<DigestMismatch>()("DigestMismatch", {
  declared: Digest,
  actual: Digest
}) {
  override get message(): string {
    return `The bytes hash to ${this.actual}, declared was ${this.declared}. Nothing was stored; send the right bytes.`
  }
}

/** The blob is not as long as was announced. Nothing is visible. */
export class SizeMismatch extends Schema.TaggedError<SizeMismatch>()("SizeMismatch", {
  declared: Schema.Int,
  /** Of a body that went on too long: where it was given up. */
  actual: Schema.Int
}) {
  override get message(): string {
    const what = this.actual > this.declared ? "goes on past" : "ends at"
    return `The body ${what} byte ${Math.min(this.actual, this.declared)}, while ${this.declared} bytes were declared. Nothing was stored; send the whole body, or declare its right size.`
  }
}

/** A digest was declared that the blob store cannot compute. Nothing was read. */
export class DigestUnsupported extends Schema.TaggedError<DigestUnsupported>()("DigestUnsupported", {
  digest: Digest
}) {
  override get message(): string {
    return `"${this.digest}" is no digest that can be checked. Declare sha256: with 64 or sha512: with 128 lower-case hexadecimal digits, or none.`
  }
}

/** No blobs of these digests live. */
export class BlobUnknown extends Schema.TaggedError<BlobUnknown>()("BlobUnknown", {
  digests: Schema.NonEmptyArray(Digest)
}) {
  override get message(): string {
    const [one, ...others] = this.digests
    const which = others.length === 0 ? `blob ${one}. It was` : `blobs ${this.digests.join(", ")}. They were`
    return `There is no ${which} never stored, or nothing referred to it any more and it was collected; put the bytes again.`
  }
}

/** Collectors took the upload away. */
export class UploadExpired extends Schema.TaggedError<UploadExpired>()("UploadExpired", {
  /** Null when none was declared and the body was not read to its end. */
  digest: Schema.NullOr(Digest),
  attempts: Schema.Int
}) {
  override get message(): string {
    const times = this.attempts === 1 ? "once" : `${this.attempts} times`
    return `The upload of ${this.digest ?? "bytes without a declared digest"} lost its lease ${times}, and its bytes are gone. Nothing was stored; send them again, and raise the upload lease if this happens often.`
  }
}
