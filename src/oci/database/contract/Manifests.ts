/**
 * The catalogue of an OCI registry: manifests and indexes, the blobs and manifests that they need, and
 * tags. A manifest's bytes are a blob. Its row and the rows of its references have foreign keys to the
 * blobs, so that the collector finds them like any other reference.
 *
 * The tables have a schema of their own (`migrate --registry`). If they are missing, `expire`, `untagged`
 * and `exposure` find nothing. Every other verb fails with `DatabaseError` `NotInstalled`, which says what
 * to run.
 */
import type { Option } from "effect"
import type { Result } from "../../../database/contract/Result.ts"
import type { Digest } from "../../../domain/Digest.ts"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"

/** A blob or manifest that a manifest needs. `manifest`: a child of an index, in the same repository. */
export interface ManifestReference {
  readonly digest: Digest
  /** Whether it is a blob or a manifest. */
  readonly kind: "config" | "layer" | "manifest"
}

/** A manifest or an index, without its bytes. */
export interface Manifest {
  readonly repository: string
  readonly digest: Digest
  readonly mediaType: string
  readonly sizeBytes: number
  /** For descriptors in a list of referrers: `artifactType`, otherwise the config's media type. */
  readonly artifactType: string | null
  /** The annotations of the manifest; null without any. */
  readonly annotations: Readonly<Record<string, string>> | null
  /**
   * The manifest that this one is about. It need not exist. It keeps this one, and this one does not keep
   * it.
   */
  readonly subject: Digest | null
}

/** A manifest as it is stored. */
export interface StoredManifest extends Manifest {
  /** Where its bytes are. */
  readonly key: ObjectKey
  /** Since when no tag, index or subject is known to need it, for `expire`; null while a tag does. */
  readonly untaggedAt: number | null
}

/**
 * - `stored`: the manifest, its references and its tags are stored, and the pins released
 * - `missing`: these are not live: blobs anywhere in the registry, children in the repository. Nothing is
 *   stored, and the others count as used
 */
export type PutManifest =
  | { readonly _tag: "stored" }
  | { readonly _tag: "missing"; readonly digests: ReadonlyArray<Digest> }

/**
 * - `deleted`: the manifest and its tags are deleted
 * - `listed`: an index of the repository needs it. Nothing changed
 * - `unknown`: it does not exist. Also answered if this call deleted it, lost the answer and tried again
 */
export type DeleteManifest = "deleted" | "listed" | "unknown"

/** Names a manifest of a repository. */
export type ManifestName =
  | { readonly _tag: "Digest"; readonly digest: Digest }
  | { readonly _tag: "Tag"; readonly tag: string }

/** An index that lists a manifest. */
export interface ListingIndex {
  readonly digest: Digest
  /** Since when nothing is known to need the index; null while a tag does. */
  readonly untaggedAt: number | null
}

/** A blob as a repository has it. */
export interface RepositoryBlob {
  readonly key: ObjectKey
  readonly sizeBytes: number
  /** Until when the repository's hold keeps it; null without one. */
  readonly heldUntil: number | null
  /** Whether a manifest of the repository is it or refers to it. */
  readonly isReferenced: boolean
}

/**
 * How a manifest lost its last name. Only the manifests that were `deleted`, or of which it is unknown, count
 * for the breaker.
 *
 * - `moved`: a push moved the tag to another manifest
 * - `deleted`: a client deleted the tag, or the index or subject that kept it
 * - `cascade`: the collector deleted the index or subject that kept it, or removed its tag by a retention rule
 * - `never`: it was pushed by digest, like the children of an index
 */
export type UntaggedBy = "moved" | "deleted" | "cascade" | "never"

/** How many of the registry's manifests would be lost, of how many. */
export interface UntaggedExposure {
  readonly untagged: number
  readonly total: number
  /** The bytes of the blobs that these need. They may be shared, and are scaled if pushes replaced some. */
  readonly bytes: number
  /** The bytes of all blobs. */
  readonly totalBytes: number
}

/** What is deleted with a manifest. */
export interface DeleteOptions {
  /**
   * Whether tags that are about the manifest are removed with it, in the same transaction: those of manifests whose subject it
   * is, and `sha256-<hex>` with nothing, `.sig`, `.att` or `.sbom` behind it, as cosign and the distribution specification
   * name them. Default false. What is tagged after the deletion stays.
   */
  readonly withReferrers?: boolean
}

/** The verbs of manifests and tags. */
export interface Manifests {
  /**
   * Succeeds if the registry's tables exist, have this program's version and may be used by this role.
   * Otherwise fails with `DatabaseError` `NotInstalled` or `Denied`. A registry asks before it takes
   * requests.
   */
  readonly probe: Result<void>
  /**
   * Stores a manifest whose bytes are a blob, with its references, and moves `tags` to it, all or nothing.
   * Idempotent. A manifest that loses its last tag is untagged from `now` on.
   */
  readonly put: (
    now: number,
    manifest: Manifest,
    references: ReadonlyArray<ManifestReference>,
    options?: { readonly tags?: ReadonlyArray<string>; readonly release?: ReadonlyArray<string> }
  ) => Result<PutManifest>
  /** Returns a manifest by digest or tag. */
  readonly find: (repository: string, name: ManifestName) => Result<Option.Option<StoredManifest>>
  /**
   * Records that a client received the manifest: an untagged manifest counts as untagged from `now` on.
   * Waits for a deletion in flight, and returns false if the manifest does not exist afterwards.
   */
  readonly touch: (now: number, repository: string, digest: Digest) => Result<boolean>
  /**
   * Removes a tag and returns whether it existed. May return false for a tag that this call removed, as in
   * `delete`.
   */
  readonly untag: (now: number, repository: string, tag: string) => Result<boolean>
  /** Deletes a manifest and its tags. */
  readonly delete: (
    now: number,
    repository: string,
    digest: Digest,
    options?: DeleteOptions
  ) => Result<DeleteManifest>
  /** Returns at most `limit` tags after `after`, in byte order, or none if the repository has no manifest. */
  readonly tags: (
    repository: string,
    after: string | null,
    limit: number
  ) => Result<Option.Option<ReadonlyArray<string>>>
  /** Returns repositories that have a manifest, after `after` in byte order. */
  readonly repositories: (after: string | null, limit: number) => Result<ReadonlyArray<string>>
  /** Returns those of the repositories that have no tag, in byte order. */
  readonly withoutTags: (repositories: ReadonlyArray<string>) => Result<ReadonlyArray<string>>
  /**
   * Returns manifests about `subject` after digest `after`, only those of `artifactType` unless it is null.
   */
  readonly referrers: (
    repository: string,
    subject: Digest,
    artifactType: string | null,
    after: Digest | null,
    limit: number
  ) => Result<ReadonlyArray<Manifest>>
  /** Returns at most `limit` indexes of the repository that list the manifest, by digest. */
  readonly listing: (repository: string, digest: Digest, limit: number) => Result<ReadonlyArray<ListingIndex>>
  /**
   * Returns the blob as the repository has it. Returns none if it is not live, or only in other
   * repositories.
   */
  readonly blob: (repository: string, digest: Digest) => Result<Option.Option<RepositoryBlob>>
  /**
   * Returns those of `digests` that the repository has: by a manifest, or by a hold that has not ended at
   * `now`.
   */
  readonly having: (
    now: number,
    repository: string,
    digests: ReadonlyArray<Digest>
  ) => Result<ReadonlySet<Digest>>
  /**
   * Deletes up to `limit` manifests that nothing in their repository has needed since `untaggedSince` or
   * longer: no tag, no index, no subject that exists. Returns how many. Skips manifests that another
   * transaction holds. The children of a deleted index, and manifests about a deleted subject, are untagged
   * from `now` on. Blobs to which nothing in the registry refers then get a sighting with the cause
   * `expired`, those that a pin keeps when it ends.
   */
  readonly expire: (
    now: number,
    untaggedSince: number,
    limit: number,
    options?: DeleteOptions
  ) => Result<number>
  /**
   * Dates manifests that are untagged after `latest` to `now`, up to `limit` of them, and returns their names
   * as `repository@digest`. A clock was wrong when they were untagged, and they would wait for as long as it
   * was ahead. Skips manifests that another transaction holds.
   */
  readonly redate: (now: number, latest: number, limit: number) => Result<ReadonlyArray<string>>
  /** Returns how many `expire` would delete, without those that these need. */
  readonly untagged: (untaggedSince: number) => Result<number>
  /**
   * Counts for the breaker the manifests that `expire` would delete and whose names were deleted
   * ({@link UntaggedBy}), without those untagged at `after` or before (null: all). Each manifest that was
   * pushed with a name while they lost theirs replaces one of them, unless no manifest has a name any more.
   *
   * The total is what has a name and what is counted. It is exact up to about a million, and beyond that the
   * planner's estimate. All but the number are zero, unread, unless more than `unless` are counted or no
   * manifest has a name.
   */
  readonly exposure: (after: number | null, untaggedSince: number, unless: number) => Result<UntaggedExposure>
}
