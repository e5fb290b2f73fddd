/** What writers write: a small pool of contents, so that they meet. */
import { createHash } from "node:crypto"
import { type Digest, fromSha256Hex } from "../../src/domain/Digest.ts"

export interface Content {
  readonly digest: Digest
  readonly bytes: Uint8Array
}

/** The n-th content. One in twenty is large enough to go in parts, some are empty or nearly so. */
export const content = (n: number): Content => {
  const sizeBytes = n % 20 === 7 ? 6 * 1024 * 1024 : n % 20 === 3 ? n % 3 : 500 + ((n * 7919) % 60_000)
  const bytes = new Uint8Array(sizeBytes)
  const seed = createHash("sha256").update(`content ${n}`).digest()
  for (let i = 0; i < sizeBytes; i += 1) bytes[i] = ((seed[i % 32] ?? 0) + (i >> 5)) & 255
  return { bytes, digest: fromSha256Hex(createHash("sha256").update(bytes).digest("hex")) }
}
