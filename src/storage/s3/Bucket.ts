/**
 * A bucket as the verbs see it: the calls of the protocol, without the SDK that makes them, and how to make them.
 *
 * S3.ts fills it in. What is typed here is what we read and write of S3's messages; there is more.
 */
import type { Readable } from "node:stream"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type { ByteRange } from "../Storage.ts"
import type { Requests } from "./Requests.ts"

export interface Bucket {
  readonly name: string
  readonly calls: Calls
  readonly requests: Requests
  /** What a rejection of a call means. */
  readonly failed: (operation: StorageError["operation"], subject: string, cause: unknown) => StorageError
}

/** Each call is one HTTP request, which the signal aborts. It rejects with the SDK's error. */
export interface Calls {
  /** ListObjectsV2 with `encoding-type=url`. */
  readonly list: (prefix: string, from: Cursor, limit: number, signal: AbortSignal) => Promise<Listing>
  /** ListObjectVersions with `encoding-type=url`. */
  readonly listVersions: (prefix: string, from: Marker, signal: AbortSignal) => Promise<VersionListing>
  /** ListMultipartUploads with `encoding-type=url`. */
  readonly listUploads: (prefix: string, from: Marker, signal: AbortSignal) => Promise<UploadListing>
  readonly listParts: (upload: Upload, after: string | undefined, signal: AbortSignal) => Promise<PartListing>
  /** DeleteObjects, not quiet; with a Content-MD5 in place of the SDK's checksum, if asked for. */
  readonly deleteBatch: (
    targets: ReadonlyArray<Target>,
    withMd5: boolean,
    signal: AbortSignal
  ) => Promise<BatchAnswer>
  readonly deleteOne: (target: Target, signal: AbortSignal) => Promise<unknown>
  readonly put: (
    key: ObjectKey,
    body: Uint8Array | Readable,
    sizeBytes: number,
    signal: AbortSignal
  ) => Promise<unknown>
  readonly copy: (from: ObjectKey, to: ObjectKey, signal: AbortSignal) => Promise<unknown>
  readonly createUpload: (key: ObjectKey, signal: AbortSignal) => Promise<string | undefined>
  readonly uploadPart: (
    upload: Upload,
    number: number,
    body: Uint8Array,
    signal: AbortSignal
  ) => Promise<Part>
  /** UploadPartCopy, as long as the source still has that ETag. */
  readonly copyPart: (
    upload: Upload,
    number: number,
    from: { readonly key: ObjectKey; readonly etag: string | undefined },
    range: ByteRange,
    signal: AbortSignal
  ) => Promise<Part>
  readonly completeUpload: (
    upload: Upload,
    parts: ReadonlyArray<Part>,
    signal: AbortSignal
  ) => Promise<unknown>
  readonly abortUpload: (upload: Upload, signal: AbortSignal) => Promise<unknown>
  readonly get: (key: ObjectKey, range: ByteRange | undefined, signal: AbortSignal) => Promise<Content>
  readonly head: (key: ObjectKey, signal: AbortSignal) => Promise<Described>
  /** The `Status` of GetBucketVersioning. */
  readonly versioning: (signal: AbortSignal) => Promise<string | undefined>
  /** The `ObjectLockEnabled` of GetObjectLockConfiguration. */
  readonly objectLock: (signal: AbortSignal) => Promise<string | undefined>
  /** HeadBucket, for its `Date` header; `now` is asked right before the request and right after its answer. */
  readonly date: (now: () => number, signal: AbortSignal) => Promise<Dated>
}

/** Where a listing goes on: at the store's token if it gave one, else after the last key. */
export interface Cursor {
  readonly after: string | undefined
  readonly token: string | undefined
}

/** Where a listing of versions or uploads goes on: after this version or upload of this key, as the store said it. */
export interface Marker {
  readonly key: string | undefined
  readonly id: string | undefined
}

export interface Listing {
  readonly Contents?:
    | ReadonlyArray<{
        readonly Key?: string | undefined
        readonly Size?: number | undefined
        readonly LastModified?: Date | undefined
      }>
    | undefined
  readonly EncodingType?: string | undefined
  readonly IsTruncated?: boolean | undefined
  readonly NextContinuationToken?: string | undefined
}

export interface VersionListing {
  readonly Versions?: ReadonlyArray<NamedVersion> | undefined
  readonly DeleteMarkers?: ReadonlyArray<NamedVersion> | undefined
  readonly EncodingType?: string | undefined
  readonly IsTruncated?: boolean | undefined
  readonly NextKeyMarker?: string | undefined
  readonly NextVersionIdMarker?: string | undefined
}

export interface NamedVersion {
  readonly Key?: string | undefined
  /** `null`, as a word, for what was written while versioning was off or suspended. */
  readonly VersionId?: string | undefined
}

export interface UploadListing {
  readonly Uploads?:
    | ReadonlyArray<{
        readonly Key?: string | undefined
        readonly UploadId?: string | undefined
        readonly Initiated?: Date | undefined
      }>
    | undefined
  readonly EncodingType?: string | undefined
  readonly IsTruncated?: boolean | undefined
  readonly NextKeyMarker?: string | undefined
  readonly NextUploadIdMarker?: string | undefined
}

export interface PartListing {
  readonly Parts?: ReadonlyArray<{ readonly LastModified?: Date | undefined }> | undefined
  readonly IsTruncated?: boolean | undefined
  readonly NextPartNumberMarker?: string | undefined
}

/** What a delete names: a key, or one version of it. */
export interface Target {
  readonly key: ObjectKey
  readonly versionId?: string | undefined
}

export interface BatchAnswer {
  readonly Deleted?: ReadonlyArray<NamedVersion> | undefined
  readonly Errors?:
    | ReadonlyArray<
        NamedVersion & { readonly Code?: string | undefined; readonly Message?: string | undefined }
      >
    | undefined
}

export interface Upload {
  readonly Key: ObjectKey
  readonly UploadId: string
}

export interface Part {
  readonly ETag: string | undefined
  readonly PartNumber: number
}

export interface Content {
  /** Nothing when the client returned something other than a Node stream. */
  readonly body: Readable | undefined
  readonly status: number | undefined
}

export interface Described {
  readonly ContentLength?: number | undefined
  readonly LastModified?: Date | undefined
  readonly ETag?: string | undefined
}

export interface Dated {
  /** As the header has it; nothing when there is none. */
  readonly date: string | undefined
  readonly sentAt: number
  readonly answeredAt: number
}
