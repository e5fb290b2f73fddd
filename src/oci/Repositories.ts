/**
 * What an OCI registry keeps by name: the blobs a repository has, its manifests, and its tags.
 *
 * A manifest is a blob with a row; that row and the rows of what it refers to keep blobs alive. A repository has a blob
 * when one of its manifests refers to it, or when its hold (a pin) has not ended: pushing and mounting a blob, and being
 * told that it is there, begin or renew the hold.
 */
import { Context, Duration, Effect, Layer, type Option, type Stream } from "effect"
import { BlobStore, type BlobUnknown, type PutFailure } from "../blobs/BlobStore.ts"
import type { DigestUnsupported } from "../blobs/errors.ts"
import { Database } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { ByteRange } from "../storage/Storage.ts"
import type { Manifest } from "./database/contract/Manifests.ts"
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

/** Bytes of a blob. One that moves to another key before its first byte is read is followed. */
export type BlobBytes = Stream.Stream<Uint8Array, BlobUnknown | DatabaseError | StorageError>

/** A blob that a repository has. */
export interface RepositoryBlobStat {
  readonly digest: Digest
  readonly sizeBytes: number
}

/** A blob to be read. */
export interface ReadableBlob extends RepositoryBlobStat {
  /** The blob's bytes, or those of `range`; asks the database only when the blob has moved since it was found. */
  readonly read: (range?: ByteRange) => BlobBytes
}

/** A manifest's head. */
export interface ManifestStat {
  readonly digest: Digest
  readonly mediaType: string
  readonly sizeBytes: number
}

/** A manifest to be read. */
export interface ReadableManifest extends ManifestStat {
  /** Exactly those that were pushed. */
  readonly bytes: BlobBytes
}

export interface StoredManifest extends ManifestStat {
  /** The subject it names, for `OCI-Subject`. */
  readonly subject: Digest | null
}

export interface RepositoriesOptions {
  /** How long a repository holds a blob to which no manifest refers yet. Default 24 hours: it outlasts a slow push. */
  readonly hold?: Duration.Duration
}

export class Repositories extends Context.Service<
  Repositories,
  {
    /**
     * The blob, for the client that is told so: whatever is deleted meanwhile, it stays for three quarters of a hold at
     * least. None when the repository does not have it.
     */
    readonly blob: (
      repository: string,
      digest: Digest
    ) => Effect.Effect<Option.Option<RepositoryBlobStat>, DatabaseError>
    /** The blob for whoever reads it now, without a hold: one question to the database, one request to the store. */
    readonly peek: (
      repository: string,
      digest: Digest
    ) => Effect.Effect<Option.Option<ReadableBlob>, DatabaseError>
    /** A blob's bytes, or those of `range`, whoever has it. */
    readonly open: (digest: Digest, range?: ByteRange) => BlobBytes
    /** Gives `repository` a blob that `from` (null: any repository, or none) has; false when it does not. */
    readonly mount: (
      repository: string,
      digest: Digest,
      from: string | null
    ) => Effect.Effect<boolean, DatabaseError>
    /**
     * Ends the repository's hold on a blob. `BlobNeeded` while a manifest of the repository refers to it, or is it.
     * Other repositories keep what they have.
     */
    readonly deleteBlob: (
      repository: string,
      digest: Digest
    ) => Effect.Effect<void, BlobUnknown | BlobNeeded | DatabaseError>
    /**
     * Stores a manifest or an index, with what it refers to, and tags it. All or nothing, and doing it again does no harm.
     *
     * Its digest is that of `reference`, or sha256. `DigestMismatch` when the bytes have another, `DigestUnsupported`
     * when nobody can tell; `ManifestInvalid` when they are none that can be read; `ManifestMissingBlobs` names what it
     * needs and is not there: blobs must be somewhere in the registry, manifests that an index lists in its own
     * repository. A subject need not exist, nor need layers that clients find elsewhere (`urls`).
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
     * The manifest that a tag or a digest names. `ManifestUnknown` also when `reference` can be neither. Being given one
     * that no tag names puts off its expiry, so that there is time to pull what it refers to, or to list it in an index.
     */
    readonly manifest: (
      repository: string,
      reference: string
    ) => Effect.Effect<ReadableManifest, ManifestUnknown | DatabaseError>
    /** Deletes a tag, or by digest a manifest with its tags. `ManifestNeeded` while an index of the repository lists it. */
    readonly deleteManifest: (
      repository: string,
      reference: string
    ) => Effect.Effect<void, ManifestUnknown | ManifestNeeded | DatabaseError>
    /** Sorted by bytes. */
    readonly tags: (
      repository: string,
      page: Listings.PageOptions
    ) => Effect.Effect<Listings.Page<string>, RepositoryUnknown | DatabaseError>
    /** Repositories that have a manifest, sorted by bytes. */
    readonly list: (page: Listings.PageOptions) => Effect.Effect<Listings.Page<string>, DatabaseError>
    /**
     * Manifests about `subject`, which need not exist; sorted by digest. A page may be shorter than `limit` and have
     * successors: it ends where its annotations would make an index of more than 3 MiB.
     */
    readonly referrers: (
      repository: string,
      subject: Digest,
      page: Listings.PageOptions & { readonly artifactType?: string | undefined }
    ) => Effect.Effect<Listings.Page<Manifest>, DatabaseError>
  }
>()("artifact-gc/oci/Repositories") {
  static readonly layer = (
    options: RepositoriesOptions = {}
  ): Layer.Layer<Repositories, never, Database | BlobStore> =>
    Layer.effect(
      Repositories,
      Effect.gen(function* () {
        const context: RepositoryContext = {
          database: yield* Database,
          blobs: yield* BlobStore,
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
          referrers: Effect.fn("Repositories.referrers")((repository, subject, page) =>
            Listings.referrers(context, repository, subject, page)
          )
        })
      })
    )
}
