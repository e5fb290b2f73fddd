/**
 * The catalogue of an OCI registry: manifests and indexes, what they refer to, and tags. A manifest's bytes are a blob;
 * its row and the rows of what it refers to have foreign keys to the blobs, so that the collector finds them like any
 * other reference.
 *
 * The tables stand in a schema of their own (`migrate --registry`). Where they are missing, `expire`, `untagged` and `exposure` find
 * nothing, and every other verb fails with `DatabaseError` `NotInstalled`, which says what to run.
 */
import type { Option } from "effect"
import type { Result } from "../../../database/contract/Result.ts"
import type { Digest } from "../../../domain/Digest.ts"
import type { ObjectKey } from "../../../domain/ObjectKey.ts"

/** What a manifest needs. `manifest`: a child of an index, in the same repository. */
export interface ManifestReference {
  readonly digest: Digest
  readonly kind: "config" | "layer" | "manifest"
}

export interface Manifest {
  readonly repository: string
  readonly digest: Digest
  readonly mediaType: string
  readonly sizeBytes: number
  /** For descriptors in the answer to referrers: `artifactType`, or else the config's media type. */
  readonly artifactType: string | null
  readonly annotations: Readonly<Record<string, string>> | null
  /** The manifest that this one is about. It need not exist. It keeps this one; this one does not keep it. */
  readonly subject: Digest | null
}

/** A manifest as it is found: with its bytes' place. */
export interface StoredManifest extends Manifest {
  readonly key: ObjectKey
  /** Since when neither tag, index nor subject is known to need it, for `expire`; null while a tag does. */
  readonly untaggedAt: number | null
}

/**
 * - `stored`: manifest, references and tags are there, and the pins released
 * - `missing`: these do not live (blobs anywhere in the registry, children in the repository); nothing has changed but that
 *   the others count as used
 */
export type PutManifest =
  | { readonly _tag: "stored" }
  | { readonly _tag: "missing"; readonly digests: ReadonlyArray<Digest> }

/**
 * - `deleted`: the manifest and its tags are gone
 * - `listed`: an index of the repository needs it; nothing has changed
 * - `unknown`: there is none; also when this deleted it and, because its answer was lost, looked again
 */
export type DeleteManifest = "deleted" | "listed" | "unknown"

export type ManifestName =
  | { readonly _tag: "Digest"; readonly digest: Digest }
  | { readonly _tag: "Tag"; readonly tag: string }

/** How a repository has a blob. */
export interface RepositoryBlob {
  readonly key: ObjectKey
  readonly sizeBytes: number
  /** Until when the repository's pin keeps it; null without one. */
  readonly heldUntil: number | null
  /** Whether a manifest of the repository is it or refers to it. */
  readonly isReferenced: boolean
}

/** How many manifests of the registry's are about to be deleted, of how many. */
export interface UntaggedExposure {
  readonly untagged: number
  readonly total: number
}

export interface Manifests {
  /**
   * Succeeds when the registry's tables are there and of this version, and this role may use them; else `DatabaseError`
   * `NotInstalled` or `Denied`. To be asked before a registry takes requests.
   */
  readonly probe: Result<void>
  /**
   * Stores a manifest whose bytes live as a blob, with what it refers to, and moves `tags` to it, all or nothing. Doing
   * it again does no harm. A manifest from which a tag is taken away is untagged from `now` on.
   */
  readonly put: (
    now: number,
    manifest: Manifest,
    references: ReadonlyArray<ManifestReference>,
    options?: { readonly tags?: ReadonlyArray<string>; readonly release?: ReadonlyArray<string> }
  ) => Result<PutManifest>
  readonly find: (repository: string, name: ManifestName) => Result<Option.Option<StoredManifest>>
  /**
   * Somebody was given the manifest: one that is untagged is so from `now` on. Waits for whoever is about to delete it;
   * false when it is gone.
   */
  readonly touch: (now: number, repository: string, digest: Digest) => Result<boolean>
  /** Takes a tag away; whether there was one (of which it may be told falsely that there was none, as in `delete`). */
  readonly untag: (now: number, repository: string, tag: string) => Result<boolean>
  readonly delete: (now: number, repository: string, digest: Digest) => Result<DeleteManifest>
  /** Tags after `after` by bytes, at most `limit`; none when the repository has no manifest. */
  readonly tags: (
    repository: string,
    after: string | null,
    limit: number
  ) => Result<Option.Option<ReadonlyArray<string>>>
  /** Repositories with a manifest, after `after` by bytes. */
  readonly repositories: (after: string | null, limit: number) => Result<ReadonlyArray<string>>
  /** Manifests about `subject`, after digest `after`, of `artifactType` only unless it is null. */
  readonly referrers: (
    repository: string,
    subject: Digest,
    artifactType: string | null,
    after: Digest | null,
    limit: number
  ) => Result<ReadonlyArray<Manifest>>
  /** The blob as the repository has it; none when it does not live, or only elsewhere. */
  readonly blob: (repository: string, digest: Digest) => Result<Option.Option<RepositoryBlob>>
  /**
   * Deletes up to `limit` manifests that since `untaggedSince` or longer nothing in their repository needs: no tag, no
   * index, and no subject that exists; how many. Passes over those that somebody is at work on. What an index listed,
   * and what was about a deleted subject, is untagged from `now` on.
   */
  readonly expire: (now: number, untaggedSince: number, limit: number) => Result<number>
  /** How many `expire` would delete, those they need not counted. */
  readonly untagged: (untaggedSince: number) => Result<number>
  /**
   * Counts for the breaker the manifests that nothing needs and that are untagged since `untaggedSince` or longer, as
   * `expire` would delete them, but later than `after` (null: any). The total is exact up to about a million and the
   * planner's estimate beyond. It is zero, unread, unless more than `unless` are counted.
   */
  readonly exposure: (after: number | null, untaggedSince: number, unless: number) => Result<UntaggedExposure>
}
