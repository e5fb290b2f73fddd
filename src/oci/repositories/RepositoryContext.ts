/** What the parts of `Repositories` share: its services and the names that it reads. */
import { createHash } from "node:crypto"
import { Option, Schema } from "effect"
import type { BlobStore } from "../../blobs/BlobStore.ts"
import type { BlobDatabase } from "../../database/Database.ts"
import { type Algorithm, algorithmOf, Digest, fromHex } from "../../domain/Digest.ts"
import type { ManifestName, RegistryDatabase } from "../database/RegistryDatabase.ts"
import { Tag } from "../Names.ts"
import type { Pulls } from "../retention/Pulls.ts"

/** Services and settings of `Repositories`. */
export interface RepositoryContext {
  readonly database: BlobDatabase["Service"]
  readonly registry: RegistryDatabase["Service"]
  readonly blobs: BlobStore["Service"]
  /** Notes which manifests clients pull. */
  readonly pulls: Pulls
  /** Whether tags that are about a manifest are removed when it is deleted. */
  readonly withReferrers: boolean
  /** Length of a hold, in milliseconds. */
  readonly holdMillis: number
}

/** Returns the text as a digest, or none if it is not one that this registry can compute. */
export const digestOf = (text: string): Option.Option<Digest> =>
  Option.filter(Schema.decodeOption(Digest)(text), (digest) => algorithmOf(digest) !== null)

const isTag = Schema.is(Tag)

/**
 * Reads the reference of an address: a digest if it has a colon, otherwise a tag. Returns none for any other
 * text.
 */
export const nameOf = (reference: string): Option.Option<ManifestName> => {
  if (!reference.includes(":")) {
    return isTag(reference) ? Option.some({ _tag: "Tag", tag: reference }) : Option.none()
  }
  return Option.map(digestOf(reference), (digest) => ({ _tag: "Digest", digest }))
}

/** Returns the digest of the bytes. */
export const hash = (algorithm: Algorithm, bytes: Uint8Array): Digest =>
  fromHex(algorithm, createHash(algorithm).update(bytes).digest("hex"))
