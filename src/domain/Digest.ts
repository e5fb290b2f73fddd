/**
 * The identity of a blob: `algorithm:hex`, as the OCI image specification writes it
 * (image-spec v1.1, descriptor.md, "Digests").
 *
 * The collector itself treats a digest as an opaque, ordered string, because an existing catalogue may
 * store bare hexadecimal or bytes. Only the blob store, which computes digests, insists on the OCI form.
 */
import { Schema } from "effect"

/** A blob's identity as the catalogue stores it, rendered as text. */
export const Digest = Schema.NonEmptyString.check(Schema.isMaxLength(512)).pipe(Schema.brand("Digest"))
export type Digest = typeof Digest.Type

/** The digest of bytes whose SHA-256 is `hex`. */
export const fromSha256Hex = (hex: string): Digest => Digest.make(`sha256:${hex}`)
