/**
 * What an OCI registry keeps by name: the blobs a repository has, its manifests, and its tags.
 *
 * A manifest is a blob with a row; that row and the rows of what it refers to keep blobs alive. A repository has a blob
 * when one of its manifests refers to it, or when its hold (a pin) has not ended: pushing and mounting a blob, and being
 * told that it is there, begin or renew the hold.
 */
import { Context, type Duration, Effect, Layer, type Option, type Stream } from "effect"
import { Database } from "../database/Database.ts"
import type { Manifest } from "../database/verbs/Manifests.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { ByteRange } from "../storage/Storage.ts"
import { BlobStore, type BlobUnknown, type PutFailure } from "./BlobStore.ts"
import type { DigestUnsupported } from "./failures.ts"
import type {
  BlobNeeded,
  ManifestInvalid,
  ManifestMissingBlobs,
  ManifestNeeded,
  ManifestUnknown,
  RepositoryUnknown
} from "./repositories/failures.ts"

export {
  BlobNeeded,
  ManifestInvalid,
  ManifestMissingBlobs,
  ManifestNeeded,
  ManifestUnknown,
  RepositoryUnknown
} from "./repositories/failures.ts"

/** A blob that a repository has. */
export interface RepositoryBlobStat {
  readonly digest: Digest
  readonly sizeBytes: number
}

/** A manifest's head. */
export interface ManifestStat {
  readonly digest: Digest
  readonly mediaType: string
  readonly sizeBytes: number
}

export interface PutManifestOptions {
  /** A tag, or a digest that the bytes must have. */
  readonly reference: string
  /** More tags (distribution-spec, "Pushing Manifests", `?tag=`). */
  readonly tags?: ReadonlyArray<string> | undefined
  /** What the client says that the bytes are. Must agree with the manifest's own `mediaType`, if it has one. */
  readonly mediaType: string
}

export interface StoredManifest extends ManifestStat {
  /** The subject it names, for `OCI-Subject`. */
  readonly subject: Digest | null
}

/** A page of names. */
export interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly hasMore: boolean
}

export interface PageOptions {
  /** The last item of the page before. */
  readonly after?: string | undefined
  readonly limit: number
}

export interface RepositoriesOptions {
  /** How long a repository holds a blob to which no manifest refers yet. Default 24 hours: it outlasts a slow push. */
  readonly hold?: Duration.Duration
}

export class Repositories extends Context.Service<
  Repositories,
  {
    /** The blob, held for the client that is told so; none when the repository does not have it. */
    readonly blob: (
      repository: string,
      digest: Digest
    ) => Effect.Effect<Option.Option<RepositoryBlobStat>, DatabaseError>
    /** The blob's size, without a hold; for whoever reads it. */
    readonly peek: (
      repository: string,
      digest: Digest
    ) => Effect.Effect<Option.Option<RepositoryBlobStat>, DatabaseError>
    /** The blob's bytes, or those of `range`. */
    readonly open: (
      digest: Digest,
      range?: ByteRange
    ) => Stream.Stream<Uint8Array, BlobUnknown | DatabaseError | StorageError>
    /** Gives `repository` a blob that `from` (null: any repository, or none) has; false when it does not. */
    readonly mount: (
      repository: string,
      digest: Digest,
      from: string | null
    ) => Effect.Effect<boolean, DatabaseError>
    /** Ends the repository's hold on a blob. `BlobNeeded` while a manifest of the repository refers to it. */
    readonly deleteBlob: (
      repository: string,
      digest: Digest
    ) => Effect.Effect<void, BlobUnknown | BlobNeeded | DatabaseError>
    /** Stores a manifest or an index, with what it refers to, and tags it. All or nothing. */
    readonly putManifest: (
      repository: string,
      bytes: Uint8Array,
      options: PutManifestOptions
    ) => Effect.Effect<
      StoredManifest,
      ManifestInvalid | ManifestMissingBlobs | PutFailure | DigestUnsupported
    >
    /** The manifest that a tag or a digest names. */
    readonly manifest: (
      repository: string,
      reference: string
    ) => Effect.Effect<ManifestStat, ManifestUnknown | DatabaseError>
    /** Deletes a tag, or by digest a manifest with its tags. `ManifestNeeded` while an index of the repository lists it. */
    readonly deleteManifest: (
      repository: string,
      reference: string
    ) => Effect.Effect<void, ManifestUnknown | ManifestNeeded | DatabaseError>
    /** Sorted by bytes. */
    readonly tags: (
      repository: string,
      page: PageOptions
    ) => Effect.Effect<Page<string>, RepositoryUnknown | DatabaseError>
    /** Repositories that have a manifest, sorted by bytes. */
    readonly list: (page: PageOptions) => Effect.Effect<Page<string>, DatabaseError>
    /** Manifests about `subject`, which need not exist; sorted by digest. */
    readonly referrers: (
      repository: string,
      subject: Digest,
      page: PageOptions & { readonly artifactType?: string | undefined }
    ) => Effect.Effect<Page<Manifest>, DatabaseError>
  }
>()("artifact-gc/registry/Repositories") {
  static readonly layer = (
    _options: RepositoriesOptions = {}
  ): Layer.Layer<Repositories, never, Database | BlobStore> =>
    Layer.effect(
      Repositories,
      Effect.gen(function* () {
        yield* Database
        yield* BlobStore
        return yield* Effect.die("not written yet")
      })
    )
}
