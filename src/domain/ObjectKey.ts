/**
 * Names of objects in the store.
 *
 * Invariant: a blob's key serves one upload attempt, ever. It ends in a random nonce. A DELETE that arrives
 * late, twice or from a paused process therefore cannot delete bytes that were uploaded later
 * (docs/design/protocol.md, "Fresh keys").
 */
import { randomUUID } from "node:crypto"
import { Context, Effect, Schema } from "effect"
import type { Digest } from "./Digest.ts"

/**
 * S3 allows 1024 bytes of UTF-8. U+0000 cannot be written in XML, in PostgreSQL text or in a file name. Half
 * of a surrogate pair cannot be written in UTF-8.
 */
const isObjectKey = Schema.makeFilter<string>((key) =>
  key.length === 0
    ? "an object key must not be empty"
    : Buffer.byteLength(key, "utf8") > 1024
      ? "an object key must not exceed 1024 bytes of UTF-8"
      : /[\0\p{Cs}]/u.test(key)
        ? "an object key must contain neither U+0000 nor half of a surrogate pair"
        : undefined
)

/** Checks the name of an object: 1 to 1024 bytes of UTF-8, without U+0000. */
export const ObjectKey = Schema.String.check(isObjectKey).pipe(Schema.brand("ObjectKey"))
/** The name of an object. */
export type ObjectKey = typeof ObjectKey.Type

/**
 * Provides the function that makes nonces. The default is the operating system's random source, so that two
 * processes that share nothing never make the same nonce. A simulation provides a seeded source.
 */
export class KeyNonce extends Context.Reference<() => string>("artifact-gc/domain/KeyNonce", {
  defaultValue: () => randomUUID
}) {}

/**
 * Returns a key that was never used before, for one upload attempt of the blob `digest`:
 * `<prefix><algorithm>/<first two hex>/<hex>/<nonce>`. The two-character level spreads keys over prefixes,
 * because S3 accounts request rates per prefix.
 */
export const fresh = Effect.fnUntraced(function* (prefix: string, digest: Digest) {
  const nonce = yield* KeyNonce
  const separator = digest.indexOf(":")
  const algorithm = digest.slice(0, separator)
  const hex = digest.slice(separator + 1)
  return ObjectKey.make(`${prefix}${algorithm}/${hex.slice(0, 2)}/${hex}/${nonce()}`)
})

/**
 * Returns a key that was never used before, for bytes whose digest is known only after the last one:
 * `<prefix>new/<two characters>/<nonce>`. The blob keeps this key. A key with the digest in it would cost a
 * copy of every such blob and add nothing to the blob's row.
 */
export const freshUnnamed = Effect.fnUntraced(function* (prefix: string) {
  const nonce = (yield* KeyNonce)()
  return ObjectKey.make(`${prefix}new/${nonce.slice(0, 2)}/${nonce}`)
})
