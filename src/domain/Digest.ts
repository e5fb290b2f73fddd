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

/** The algorithms that image-spec v1.1 registers, in Node's own words, and how long their hexadecimal is. */
const hexLengths = { sha256: 64, sha512: 128 }
export type Algorithm = keyof typeof hexLengths

/** The algorithm of a digest in the OCI form; null when it is not one that can be computed here. */
export const algorithmOf = (digest: Digest): Algorithm | null => {
  const separator = digest.indexOf(":")
  const name = digest.slice(0, separator)
  if (name !== "sha256" && name !== "sha512") return null
  const hex = digest.slice(separator + 1)
  return hex.length === hexLengths[name] && /^[0-9a-f]*$/.test(hex) ? name : null
}

/** The digest of bytes whose hash by `algorithm` is `hex`. */
export const fromHex = (algorithm: Algorithm, hex: string): Digest => Digest.make(`${algorithm}:${hex}`)

/** The digest of bytes whose SHA-256 is `hex`. */
export const fromSha256Hex = (hex: string): Digest => fromHex("sha256", hex)
