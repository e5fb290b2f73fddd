/**
 * The identity of a blob: `algorithm:hex`, as the OCI image specification writes it (image-spec v1.1,
 * descriptor.md, "Digests").
 *
 * The collector treats a digest as an opaque, ordered string, because an existing catalogue may store bare
 * hexadecimal or bytes. Only the blob store computes digests, and only it requires the OCI form.
 */
import { Schema } from "effect"

/** Checks a blob's identity: the catalogue's value as text, 1 to 512 characters. */
export const Digest = Schema.NonEmptyString.check(Schema.isMaxLength(512)).pipe(Schema.brand("Digest"))
/** A blob's identity. */
export type Digest = typeof Digest.Type

/**
 * The algorithms that image-spec v1.1 registers, by Node's names, with the length of their hexadecimal form.
 */
const hexLengths = { sha256: 64, sha512: 128 }
/** An algorithm that the blob store can compute. */
export type Algorithm = keyof typeof hexLengths

/** Returns the algorithm of a digest in the OCI form, or null if this program cannot compute that digest. */
export const algorithmOf = (digest: Digest): Algorithm | null => {
  const separator = digest.indexOf(":")
  const name = digest.slice(0, separator)
  if (name !== "sha256" && name !== "sha512") return null
  const hex = digest.slice(separator + 1)
  return hex.length === hexLengths[name] && /^[0-9a-f]*$/.test(hex) ? name : null
}

/** Returns the digest of bytes whose hash by `algorithm` is `hex`. */
export const fromHex = (algorithm: Algorithm, hex: string): Digest => Digest.make(`${algorithm}:${hex}`)

/** Returns the digest of bytes whose SHA-256 is `hex`. */
export const fromSha256Hex = (hex: string): Digest => fromHex("sha256", hex)
