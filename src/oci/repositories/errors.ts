/** Why a repository refuses, in the client's terms. */
import { Schema } from "effect"
import { Digest } from "../../domain/Digest.ts"

/** The bytes are not a manifest that this registry can keep. Nothing was stored. */
export class ManifestInvalid extends Schema.TaggedError<ManifestInvalid>()("ManifestInvalid", {
  /** What is wrong, as a clause. */
  problem: Schema.String
}) {
  override get message(): string {
    return `The manifest cannot be stored: ${this.problem}. Nothing was stored; correct it and push again.`
  }
}

/** Most digests in one message. A manifest may miss ten thousand blobs, too many for a log line. */
const namedMax = 10

/** The manifest refers to blobs or manifests that do not exist. Nothing was stored. */
export class ManifestMissingBlobs extends Schema.TaggedError<ManifestMissingBlobs>()("ManifestMissingBlobs", {
  /** All that are missing. */
  digests: Schema.NonEmptyArray(Digest)
}) {
  override get message(): string {
    const more = this.digests.length - namedMax
    const named = this.digests.slice(0, namedMax).join(", ")
    return `The manifest refers to ${named}${more > 0 ? ` and ${more} more` : ""}, which the registry does not have. Nothing was stored; push them first.`
  }
}

/** The repository has no such manifest. */
export class ManifestUnknown extends Schema.TaggedError<ManifestUnknown>()("ManifestUnknown", {
  repository: Schema.String,
  /** The tag or digest that was asked for. */
  reference: Schema.String
}) {
  override get message(): string {
    return `Repository ${this.repository} has no manifest ${this.reference}: it was never pushed, or was deleted.`
  }
}

/** An index lists the manifest. Nothing was deleted. */
export class ManifestNeeded extends Schema.TaggedError<ManifestNeeded>()("ManifestNeeded", {
  repository: Schema.String,
  digest: Digest,
  /** Indexes that list it, at most ten. `untaggedSince`: an instant of ISO 8601, or null while the index has a tag. */
  indexes: Schema.Array(Schema.Struct({ digest: Digest, untaggedSince: Schema.NullOr(Schema.String) }))
}) {
  override get message(): string {
    const named = this.indexes.map(({ digest, untaggedSince }) =>
      untaggedSince === null ? digest : `${digest} (without a tag since ${untaggedSince})`
    )
    return `Repository ${this.repository} has an index that lists manifest ${this.digest}: ${named.join(", ")}. Nothing was deleted; delete the index first, by its digest.`
  }
}

/** A manifest refers to the blob. Nothing was deleted. */
export class BlobNeeded extends Schema.TaggedError<BlobNeeded>()("BlobNeeded", {
  repository: Schema.String,
  digest: Digest
}) {
  override get message(): string {
    return `A manifest of repository ${this.repository} refers to blob ${this.digest}. Nothing was deleted; delete the manifest first.`
  }
}

/** The repository has no manifest: none was ever pushed, or all were deleted. */
export class RepositoryUnknown extends Schema.TaggedError<RepositoryUnknown>()("RepositoryUnknown", {
  repository: Schema.String
}) {
  override get message(): string {
    return `Repository ${this.repository} does not exist: it has no manifest. Push one to create it.`
  }
}
