/** What the parts of `Repositories` share. */
import { createHash } from "node:crypto"
import { Option, Schema } from "effect"
import type { BlobStore } from "../../blobs/BlobStore.ts"
import type { Database, ManifestName } from "../../database/Database.ts"
import { type Algorithm, algorithmOf, Digest, fromHex } from "../../domain/Digest.ts"
import { Tag } from "../Names.ts"

export interface RepositoryContext {
  readonly database: Database["Service"]
  readonly blobs: BlobStore["Service"]
  readonly holdMillis: number
}

/** A digest that can be checked here; none of any other text. */
export const digestOf = (text: string): Option.Option<Digest> =>
  Option.filter(Schema.decodeOption(Digest)(text), (digest) => algorithmOf(digest) !== null)

const isTag = Schema.is(Tag)

/** A reference as it stands in an address: with a colon it is a digest, without one a tag. None of any other text. */
export const nameOf = (reference: string): Option.Option<ManifestName> => {
  if (!reference.includes(":")) {
    return isTag(reference) ? Option.some({ _tag: "Tag", tag: reference }) : Option.none()
  }
  return Option.map(digestOf(reference), (digest) => ({ _tag: "Digest", digest }))
}

export const hash = (algorithm: Algorithm, bytes: Uint8Array): Digest =>
  fromHex(algorithm, createHash(algorithm).update(bytes).digest("hex"))
