/** The bytes that writers of a simulation store. */
import { createHash } from "node:crypto"
import { type Digest, fromSha256Hex } from "../../../src/domain/Digest.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"

/** Holds the bytes that a writer uploads, and the name that traces show for their digest. */
export interface Content {
  readonly name: string
  readonly digest: Digest
  readonly bytes: Uint8Array
}

/** Lists all contents. A world uses the first few of them. */
export const contents: ReadonlyArray<Content> = ["a", "bb", "ccc", "dddd"].map((text) => ({
  name: text.slice(0, 1),
  digest: fromSha256Hex(createHash("sha256").update(text).digest("hex")),
  bytes: Buffer.from(text)
}))

const byDigest = new Map<Digest, Content>(contents.map((content) => [content.digest, content]))

/** Adds a content that no writer draws, such as a manifest. */
export const know = (content: Content): void => {
  byDigest.set(content.digest, content)
}

/** Returns the content of every blob that a run may store. */
export const known = (): Iterable<Content> => byDigest.values()

/** Returns the bytes that a blob must have. */
export const bytesOf = (digest: Digest): Uint8Array | undefined => byDigest.get(digest)?.bytes

/** Returns the key under which unannounced writers put these bytes every time. */
export const derivedKey = (digest: Digest): ObjectKey => {
  const hex = digest.slice("sha256:".length)
  return ObjectKey.make(`blobs/sha256/${hex.slice(0, 2)}/${hex}`)
}

/** All keys of unannounced writers. */
export const derivedKeys: ReadonlySet<ObjectKey> = new Set(contents.map(({ digest }) => derivedKey(digest)))
