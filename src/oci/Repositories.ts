/**
 * The registry's content by name: the blobs that a repository has, its manifests, and its tags.
 *
 * A manifest is a blob with a row. That row and the rows of its references keep blobs alive. A repository has
 * a blob while one of its manifests refers to it or while its hold (a pin) lasts. Pushing a blob, mounting
 * it, and being told that the repository has it begin or renew the hold.
 */
import { Context, Duration, Effect, Layer, type Option, type Stream } from "effect"
import { BlobStore, type BlobUnknown, type PutFailure } from "../blobs/BlobStore.ts"
import type { DigestUnsupported } from "../blobs/errors.ts"
import { BlobDatabase } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import type { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { ByteRange } from "../storage/Storage.ts"
import { type Manifest, RegistryDatabase } from "./database/RegistryDatabase.ts"
import type {
  BlobNeeded,
  ManifestInvalid,
  ManifestMissingBlobs,
  ManifestNeeded,
  ManifestUnknown,
  RepositoryUnknown
} from "./repositories/errors.ts"
import * as Holds from "./repositories/Holds.ts"
import * as Listings from "./repositories/Listings.ts"
import { type PutManifestOptions, putManifest } from "./repositories/PutManifest.ts"
import type { RepositoryContext } from "./repositories/RepositoryContext.ts"
import * as Pulls from "./retention/Pulls.ts"

export type { Manifest, ManifestReference } from "./database/RegistryDatabase.ts"
export {
  BlobNeeded,
  ManifestInvalid,
  ManifestMissingBlobs,
  ManifestNeeded,
  ManifestUnknown,
  RepositoryUnknown
} from "./repositories/errors.ts"
export type { Page, PageOptions } from "./repositories/Listings.ts"
export type { PutManifestOptions } from "./repositories/PutManifest.ts"

/**
 * The bytes of a blob. If the blob moves to another key before its first byte is read, the stream follows it.
 */
export type BlobBytes = Stream.Stream<Uint8Array, BlobUnknown | DatabaseError | StorageError>

/** A blob that a repository has. */
export interface RepositoryBlobStat {
  readonly digest: Digest
  /** The length of the blob, in bytes. */
  readonly sizeBytes: number
}

/** A blob that can be read. */
export interface ReadableBlob extends RepositoryBlobStat {
  /** Where its bytes are. They may move: if this object is deleted, it is after GC_DELETE_DELAY. */
  readonly key: ObjectKey
  /**
   * Streams the blob's bytes, or those of `range`. Asks the database only if the blob has moved since it was
   * found.
   */
  readonly read: (range?: ByteRange) => BlobBytes
}

/** A manifest without its bytes. */
export interface ManifestStat {
  readonly digest: Digest
  readonly mediaType: string
  /** The length of the manifest, in bytes. */
  readonly sizeBytes: number
}

/** A manifest that can be read. */
export interface ReadableManifest extends ManifestStat {
  /** Exactly the bytes that were pushed. */
  readonly bytes: BlobBytes
}

/** A manifest that was stored. */
export interface StoredManifest extends ManifestStat {
  /** The manifest's subject, for the header `OCI-Subject`, or null. */
  readonly subject: Digest | null
}

/** Options of `Repositories.layer`. */
export interface RepositoriesOptions {
  /**
   * How long a repository holds a blob to which no manifest refers. Default 24 hours, which outlasts a slow
   * push.
   */
  readonly hold?: Duration.Duration
  /**
   * Whether tags that are about a manifest are removed when a client deletes it. Default `keep`. The collector has a setting
   * of the same name for the manifests that it deletes.
   */
  readonly referrers?: "keep" | "with-subject"
}

/** Stores, finds and deletes what a registry has by name. */
export class Repositories extends Context.Service<
  Repositories,
  {
    /**
     * Returns the blob, for a client that will not push it again. The repository holds it: whatever is
     * deleted meanwhile, the blob stays for at least three quarters of a hold. Returns none if the repository
     * does not have it.
     */
    readonly blob: (
      repository: string,
      digest: Digest
    ) => Effect.Effect<Option.Option<RepositoryBlobStat>, DatabaseError>
    /**
     * Returns the blob for a client that reads it now, or none. Begins no hold. Costs one question to the
     * database and one request to the store.
     */
    readonly peek: (
      repository: string,
      digest: Digest
    ) => Effect.Effect<Option.Option<ReadableBlob>, DatabaseError>
    /**
     * Streams a blob's bytes, or those of `range`, whichever repository has it. Fails with `BlobUnknown` if
     * none has.
     */
    readonly open: (digest: Digest, range?: ByteRange) => BlobBytes
    /**
     * Gives `repository` a hold on a blob of the repository `from`. If `from` is null, the blob may be
     * anywhere in the registry. Returns false, and changes nothing, if the blob does not exist there.
     */
    readonly mount: (
      repository: string,
      digest: Digest,
      from: string | null
    ) => Effect.Effect<boolean, DatabaseError>
    /**
     * Ends the repository's hold on a blob. Other repositories keep theirs. Fails with `BlobNeeded` while a
     * manifest of the repository is the blob or refers to it, and with `BlobUnknown` if the repository does
     * not have it.
     */
    readonly deleteBlob: (
      repository: string,
      digest: Digest
    ) => Effect.Effect<void, BlobUnknown | BlobNeeded | DatabaseError>
    /**
     * Stores a manifest or an index with its references and tags, all or nothing. Repeating the call changes
     * nothing.
     *
     * The manifest's digest is `reference` if that is a digest, otherwise sha256. A subject need not exist,
     * and neither need layers with `urls`, which clients find elsewhere.
     *
     * Fails with `DigestMismatch` if the bytes have another digest, with `DigestUnsupported` if the digest
     * cannot be computed, and with `ManifestInvalid` if the bytes are not a manifest that can be read. Fails
     * with `ManifestMissingBlobs` if a blob is nowhere in the registry, or a manifest that an index lists is
     * not in this repository.
     */
    readonly putManifest: (
      repository: string,
      bytes: Uint8Array,
      options: PutManifestOptions
    ) => Effect.Effect<
      StoredManifest,
      ManifestInvalid | ManifestMissingBlobs | PutFailure | DigestUnsupported
    >
    /**
     * Returns the manifest that a tag or a digest names. Puts off the expiry of a manifest without a tag, so
     * that the client has time to pull its blobs, or to list it in an index. Fails with `ManifestUnknown` if
     * the repository has no such manifest, also if `reference` is neither a tag nor a digest.
     */
    readonly manifest: (
      repository: string,
      reference: string
    ) => Effect.Effect<ReadableManifest, ManifestUnknown | DatabaseError>
    /**
     * Deletes a tag or, by digest, a manifest with its tags. Fails with `ManifestNeeded` while an index of
     * the repository lists the manifest, and with `ManifestUnknown` if the repository has no such tag or
     * manifest.
     */
    readonly deleteManifest: (
      repository: string,
      reference: string
    ) => Effect.Effect<void, ManifestUnknown | ManifestNeeded | DatabaseError>
    /** Lists a repository's tags, sorted by bytes. Fails with `RepositoryUnknown` if it has no manifest. */
    readonly tags: (
      repository: string,
      page: Listings.PageOptions
    ) => Effect.Effect<Listings.Page<string>, RepositoryUnknown | DatabaseError>
    /** Lists the repositories that have a manifest, sorted by bytes. */
    readonly list: (page: Listings.PageOptions) => Effect.Effect<Listings.Page<string>, DatabaseError>
    /**
     * Returns those of the repositories that have no tag. Their manifests are deleted when their waits are over, unless they are
     * tagged again or an index or a referrer keeps them.
     */
    readonly withoutTags: (
      repositories: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyArray<string>, DatabaseError>
    /**
     * Lists the manifests whose subject is `subject`, sorted by digest. The subject need not exist.
     * `artifactType` keeps only manifests of that type. A page may be shorter than `limit` although more
     * follow: it ends before its annotations make an index of more than 3 MiB.
     */
    readonly referrers: (
      repository: string,
      subject: Digest,
      page: Listings.PageOptions & { readonly artifactType?: string | undefined }
    ) => Effect.Effect<Listings.Page<Manifest>, DatabaseError>
  }
>()("artifact-gc/oci/Repositories") {
  /** Builds the service on the database and the blob store of its context. */
  static readonly layer = (
    options: RepositoriesOptions = {}
  ): Layer.Layer<Repositories, never, BlobDatabase | RegistryDatabase | BlobStore> =>
    Layer.effect(
      Repositories,
      Effect.gen(function* () {
        const registry = yield* RegistryDatabase
        const context: RepositoryContext = {
          database: yield* BlobDatabase,
          registry,
          pulls: yield* Pulls.make(registry),
          blobs: yield* BlobStore,
          withReferrers: options.referrers === "with-subject",
          holdMillis: Duration.toMillis(options.hold ?? Duration.hours(24))
        }
        return Repositories.of({
          blob: Effect.fn("Repositories.blob")((repository, digest) =>
            Holds.blob(context, repository, digest)
          ),
          peek: Effect.fn("Repositories.peek")((repository, digest) =>
            Holds.peek(context, repository, digest)
          ),
          open: (digest, range) => context.blobs.open(digest, range),
          mount: Effect.fn("Repositories.mount")((repository, digest, from) =>
            Holds.mount(context, repository, digest, from)
          ),
          deleteBlob: Effect.fn("Repositories.deleteBlob")((repository, digest) =>
            Holds.deleteBlob(context, repository, digest)
          ),
          putManifest: Effect.fn("Repositories.putManifest")((repository, bytes, given) =>
            putManifest(context, repository, bytes, given)
          ),
          manifest: Effect.fn("Repositories.manifest")((repository, reference) =>
            Listings.manifest(context, repository, reference)
          ),
          deleteManifest: Effect.fn("Repositories.deleteManifest")((repository, reference) =>
            Listings.deleteManifest(context, repository, reference)
          ),
          tags: Effect.fn("Repositories.tags")((repository, page) =>
            Listings.tags(context, repository, page)
          ),
          list: Effect.fn("Repositories.list")((page) => Listings.list(context, page)),
          withoutTags: Effect.fn("Repositories.withoutTags")((repositories) =>
            Listings.withoutTags(context, repositories)
          ),
          referrers: Effect.fn("Repositories.referrers")((repository, subject, page) =>
            Listings.referrers(context, repository, subject, page)
          )
        })
      })
    )
}
