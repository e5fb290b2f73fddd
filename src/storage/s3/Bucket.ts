/**
 * A bucket as the S3 backend's verbs see it: the calls of the protocol without the SDK, and how to send them.
 *
 * The types hold the parts of S3's messages that this code reads and writes. S3's messages have more.
 */
import type { Readable } from "node:stream"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type { ByteRange } from "../Storage.ts"
import type { Requests } from "./Requests.ts"

/** Holds all that a verb of the S3 backend needs. */
export interface Bucket {
  /** The bucket's name. */
  readonly name: string
  /** The calls of the protocol. */
  readonly calls: Calls
  /**
   * Whether parts are signed with the hash of their bytes. Otherwise TLS protects them. Plain http does not, and a part that is
   * damaged on its way would become a damaged blob.
   */
  readonly signsParts: boolean
  /** Sends calls, within the limits of time, connections and repeats. */
  readonly requests: Requests
  /** Translates the rejection of a call. */
  readonly failed: (operation: StorageError["operation"], subject: string, cause: unknown) => StorageError
}

/** The address of an object, as the SDK writes it. */
export interface Address {
  /** Scheme, host and port. */
  readonly origin: string
  /** The encoded path. It is signed as it is, and is not normalised. */
  readonly path: string
}

/** What a signature needs beside the address. */
export interface Signer {
  /** The region that the signature names. */
  readonly region: string
  readonly credentials: {
    readonly accessKeyId: string
    readonly secretAccessKey: string
    readonly sessionToken?: string | undefined
  }
}

/**
 * Makes the calls of the protocol, one HTTP request each. The signal aborts it. Rejects with the SDK's error.
 */
export interface Calls {
  /** Sends ListObjectsV2 with `encoding-type=url`. */
  readonly list: (prefix: string, from: Cursor, limit: number, signal: AbortSignal) => Promise<Listing>
  /** Sends ListObjectVersions with `encoding-type=url`. */
  readonly listVersions: (prefix: string, from: Marker, signal: AbortSignal) => Promise<VersionListing>
  /** Sends ListMultipartUploads with `encoding-type=url`. */
  readonly listUploads: (prefix: string, from: Marker, signal: AbortSignal) => Promise<UploadListing>
  /** Sends ListParts, for the parts after the number `after`. */
  readonly listParts: (upload: Upload, after: string | undefined, signal: AbortSignal) => Promise<PartListing>
  /** Sends DeleteObjects, not quiet. `withMd5` replaces the SDK's checksum by a Content-MD5. */
  readonly deleteBatch: (
    targets: ReadonlyArray<Target>,
    withMd5: boolean,
    signal: AbortSignal
  ) => Promise<BatchAnswer>
  /** Sends DeleteObject. */
  readonly deleteOne: (target: Target, signal: AbortSignal) => Promise<unknown>
  /** Sends PutObject. `sha256` is that of a body that is a stream, in hexadecimal, if the signature covers it. */
  readonly put: (
    key: ObjectKey,
    body: Uint8Array | Readable,
    sizeBytes: number,
    signal: AbortSignal,
    sha256?: string
  ) => Promise<unknown>
  /** Sends CopyObject. */
  readonly copy: (from: ObjectKey, to: ObjectKey, signal: AbortSignal) => Promise<unknown>
  /** Sends CreateMultipartUpload and returns the upload's id. */
  readonly createUpload: (key: ObjectKey, signal: AbortSignal) => Promise<string | undefined>
  /** Sends UploadPart. Part numbers start at 1. `sha256` as in `put`. */
  readonly uploadPart: (
    upload: Upload,
    number: number,
    body: Readable,
    sizeBytes: number,
    signal: AbortSignal,
    sha256?: string
  ) => Promise<Part>
  /** Sends UploadPartCopy, on the condition that the source still has that ETag. */
  readonly copyPart: (
    upload: Upload,
    number: number,
    from: { readonly key: ObjectKey; readonly etag: string | undefined },
    range: ByteRange,
    signal: AbortSignal
  ) => Promise<Part>
  /** Sends CompleteMultipartUpload. */
  readonly completeUpload: (
    upload: Upload,
    parts: ReadonlyArray<Part>,
    signal: AbortSignal
  ) => Promise<unknown>
  /** Sends AbortMultipartUpload. */
  readonly abortUpload: (upload: Upload, signal: AbortSignal) => Promise<unknown>
  /** Sends GetObject. */
  readonly get: (key: ObjectKey, range: ByteRange | undefined, signal: AbortSignal) => Promise<Content>
  /** Returns the address of an object for readers, unsigned, and how to sign it. Sends nothing. */
  readonly address: (key: ObjectKey) => Promise<{ readonly address: Address; readonly signer: Signer }>
  /** Sends HeadObject. */
  readonly head: (key: ObjectKey, signal: AbortSignal) => Promise<Described>
  /** Sends HeadObject for a version and returns what locks it: a legal hold, or the end of its retention. */
  readonly lock: (target: Target, signal: AbortSignal) => Promise<Lock>
  /** Sends GetBucketVersioning and returns its `Status`. */
  readonly versioning: (signal: AbortSignal) => Promise<string | undefined>
  /** Sends GetObjectLockConfiguration and returns its `ObjectLockEnabled`. */
  readonly objectLock: (signal: AbortSignal) => Promise<string | undefined>
  /** Sends GetBucketLifecycleConfiguration and returns its rules. */
  readonly lifecycle: (signal: AbortSignal) => Promise<ReadonlyArray<Rule>>
  /**
   * Sends HeadBucket and returns its `Date` header. Calls `now` right before the request and after its
   * answer.
   */
  readonly date: (now: () => number, signal: AbortSignal) => Promise<Dated>
}

/** Says where a listing continues: at the store's token if there is one, else after the last key. */
export interface Cursor {
  /** The last key that was listed. */
  readonly after: string | undefined
  /** The store's continuation token. */
  readonly token: string | undefined
}

/** Says where a listing of versions or uploads continues: after this version or upload of this key. */
export interface Marker {
  /** The key, in the store's spelling. */
  readonly key: string | undefined
  /** The version's or the upload's id. */
  readonly id: string | undefined
}

/** Holds a page of ListObjectsV2. */
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

/** Holds a page of ListObjectVersions. */
export interface VersionListing {
  readonly Versions?: ReadonlyArray<NamedVersion> | undefined
  readonly DeleteMarkers?: ReadonlyArray<NamedVersion> | undefined
  readonly EncodingType?: string | undefined
  readonly IsTruncated?: boolean | undefined
  readonly NextKeyMarker?: string | undefined
  readonly NextVersionIdMarker?: string | undefined
}

/** Names a version of a key. */
export interface NamedVersion {
  readonly Key?: string | undefined
  /** The string `null` for a version that was written while versioning was off or suspended. */
  readonly VersionId?: string | undefined
}

/** Holds a page of ListMultipartUploads. */
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

/** Holds a page of ListParts. */
export interface PartListing {
  readonly Parts?: ReadonlyArray<{ readonly LastModified?: Date | undefined }> | undefined
  readonly IsTruncated?: boolean | undefined
  readonly NextPartNumberMarker?: string | undefined
}

/** Names the object of a delete: a key, or one version of it. */
export interface Target {
  readonly key: ObjectKey
  /** The version to delete. Absent: the key, which in a bucket with versions adds a delete marker. */
  readonly versionId?: string | undefined
}

/** Holds the answer to DeleteObjects. */
export interface BatchAnswer {
  readonly Deleted?: ReadonlyArray<NamedVersion> | undefined
  readonly Errors?:
    | ReadonlyArray<
        NamedVersion & { readonly Code?: string | undefined; readonly Message?: string | undefined }
      >
    | undefined
}

/** Names a multipart upload, in the spelling of the SDK's commands. */
export interface Upload {
  readonly Key: ObjectKey
  readonly UploadId: string
}

/** Names a part of an upload. */
export interface Part {
  readonly ETag: string | undefined
  readonly PartNumber: number
}

/** Holds the answer to GetObject. */
export interface Content {
  /** The bytes. Undefined if the client returned something other than a Node stream. */
  readonly body: Readable | undefined
  /** The HTTP status: 206 for a range. */
  readonly status: number | undefined
}

/** Holds the answer to HeadObject. */
export interface Described {
  readonly ContentLength?: number | undefined
  readonly LastModified?: Date | undefined
  readonly ETag?: string | undefined
}

/** Holds what protects a version against deletion. */
export interface Lock {
  /** `ON` if a legal hold protects it. */
  readonly ObjectLockLegalHoldStatus?: string | undefined
  /** Until when it is retained. */
  readonly ObjectLockRetainUntilDate?: Date | undefined
}

/** Holds the date of an answer and the process's times around it. */
export interface Dated {
  /** The `Date` header, or undefined if there is none. */
  readonly date: string | undefined
  /** The `Server` header, or undefined if there is none. */
  readonly server?: string | undefined
  /** The process's time before the request, in milliseconds since the epoch. */
  readonly sentAt: number
  /** The process's time after the answer, in milliseconds since the epoch. */
  readonly answeredAt: number
}

/** Holds a rule of the bucket's lifecycle. */
export interface Rule {
  readonly ID?: string | undefined
  readonly Status?: string | undefined
  /** The older place of the prefix. */
  readonly Prefix?: string | undefined
  readonly Filter?: Filter | undefined
  readonly Expiration?: { readonly Days?: number | undefined; readonly Date?: Date | undefined } | undefined
  readonly NoncurrentVersionExpiration?: { readonly NoncurrentDays?: number | undefined } | undefined
  readonly AbortIncompleteMultipartUpload?: { readonly DaysAfterInitiation?: number | undefined } | undefined
  readonly Transitions?: ReadonlyArray<{ readonly StorageClass?: string | undefined }> | undefined
}

/** Says to which objects a rule applies. */
export interface Filter {
  readonly Prefix?: string | undefined
  readonly Tag?: unknown
  readonly ObjectSizeGreaterThan?: number | undefined
  readonly ObjectSizeLessThan?: number | undefined
  readonly And?:
    | {
        readonly Prefix?: string | undefined
        readonly Tags?: ReadonlyArray<unknown> | undefined
        readonly ObjectSizeGreaterThan?: number | undefined
        readonly ObjectSizeLessThan?: number | undefined
      }
    | undefined
}
