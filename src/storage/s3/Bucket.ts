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
  /** DeleteObjects, not quiet. */
  readonly deleteBatch: (keys: ReadonlyArray<ObjectKey>, signal: AbortSignal) => Promise<BatchAnswer>
  readonly deleteOne: (key: ObjectKey, signal: AbortSignal) => Promise<unknown>
  readonly put: (
    key: ObjectKey,
    body: Uint8Array | Readable,
    sizeBytes: number,
    signal: AbortSignal
  ) => Promise<unknown>
  readonly createUpload: (key: ObjectKey, signal: AbortSignal) => Promise<Upload>
  readonly uploadPart: (
    upload: Upload,
    number: number,
    body: Uint8Array,
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
}

/** Where a listing goes on: at the store's token if it gave one, else after the last key. */
export interface Cursor {
  readonly after: string | undefined
  readonly token: string | undefined
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

export interface BatchAnswer {
  readonly Deleted?: ReadonlyArray<{ readonly Key?: string | undefined }> | undefined
  readonly Errors?:
    | ReadonlyArray<{
        readonly Key?: string | undefined
        readonly Code?: string | undefined
        readonly Message?: string | undefined
      }>
    | undefined
}

export interface Upload {
  readonly Key: ObjectKey
  readonly UploadId: string | undefined
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
}
