/** The bytes that writers store: a small pool of contents, so that writers store the same ones. */
import { createHash } from "node:crypto"
import { type Digest, fromSha256Hex } from "../../src/domain/Digest.ts"

/** Holds bytes and their digest. */
export interface Content {
  readonly digest: Digest
  readonly bytes: Uint8Array
}

/**
 * Returns the n-th content. One in twenty is large enough for an upload in parts, some have at most two
 * bytes.
 */
export const content = (n: number): Content => {
  const sizeBytes = n % 20 === 7 ? 6 * 1024 * 1024 : n % 20 === 3 ? n % 3 : 500 + ((n * 7919) % 60_000)
  const bytes = new Uint8Array(sizeBytes)
  const seed = createHash("sha256").update(`content ${n}`).digest()
  for (let i = 0; i < sizeBytes; i += 1) bytes[i] = ((seed[i % 32] ?? 0) + (i >> 5)) & 255
  return { bytes, digest: fromSha256Hex(createHash("sha256").update(bytes).digest("hex")) }
}
