/** Maps failures of the services to error responses. The only place that does. */

import type { PutFailure } from "../../blobs/BlobStore.ts"
import type { BlobUnknown, DigestUnsupported } from "../../blobs/errors.ts"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type {
  BlobNeeded,
  ManifestInvalid,
  ManifestMissingBlobs,
  ManifestNeeded,
  ManifestUnknown,
  RepositoryUnknown
} from "../Repositories.ts"
import type { OffsetMismatch, UploadBusy, UploadFailure } from "../Uploads.ts"
import type { BodiesFull, BodyFailure, BodySlow, UploadsFull } from "./Bodies.ts"
import { uploadAt } from "./Location.ts"
import { internal, Problem, problem, retryAfterSeconds, unavailable } from "./Problem.ts"
import type { ReadersFull } from "./Readers.ts"

/** Every error of a handler. */
export type Failure =
  | Problem
  | PutFailure
  | UploadFailure
  | OffsetMismatch
  | UploadBusy
  | DigestUnsupported
  | BlobUnknown
  | BlobNeeded
  | ManifestInvalid
  | ManifestMissingBlobs
  | ManifestUnknown
  | ManifestNeeded
  | RepositoryUnknown
  | BodyFailure
  | BodySlow
  | BodiesFull
  | UploadsFull
  | ReadersFull

/**
 * Most missing blobs in one response. A manifest may miss ten thousand; a repeated push names the next ones.
 */
const missingMax = 100

/** RFC 9110 requires the allowed methods in a 405. These remain for content that cannot be deleted now. */
const undeletable = { allow: "GET, HEAD" }

/** Returns the error response for a failure. `repository` is the one that the request named. */
export const problemOf = (failure: Failure, repository: string): Problem => {
  switch (failure._tag) {
    case "Problem":
      return failure
    case "DatabaseError":
    case "StorageError":
      return ofBackend(failure)
    case "UploadUnknown":
      return problem(404, "BLOB_UPLOAD_UNKNOWN", failure.message, { detail: { id: failure.id } })
    case "UploadExpired":
      return problem(404, "BLOB_UPLOAD_UNKNOWN", failure.message)
    case "UploadBusy":
      return problem(503, "UNAVAILABLE", failure.message, {
        headers: { "retry-after": String(retryAfterSeconds) },
        failure
      })
    case "OffsetMismatch":
      // distribution-spec v1.1.1 names no code for 416; other registries send this one.
      return problem(416, "BLOB_UPLOAD_INVALID", failure.message, {
        detail: { receivedBytes: failure.receivedBytes },
        headers: uploadAt(repository, failure.id, failure.receivedBytes)
      })
    case "DigestMismatch":
      return problem(400, "DIGEST_INVALID", failure.message, {
        detail: { declared: failure.declared, actual: failure.actual }
      })
    case "DigestUnsupported":
      return problem(400, "DIGEST_INVALID", failure.message, { detail: { digest: failure.digest } })
    case "SizeMismatch":
      return problem(400, "SIZE_INVALID", failure.message)
    case "BlobUnknown":
      return problem(404, "BLOB_UNKNOWN", failure.message, { detail: { digests: failure.digests } })
    case "ManifestUnknown":
      return problem(404, "MANIFEST_UNKNOWN", failure.message, { detail: { reference: failure.reference } })
    case "ManifestInvalid":
      return problem(400, "MANIFEST_INVALID", failure.message)
    case "ManifestMissingBlobs":
      return new Problem({
        status: 404,
        errors: failure.digests.slice(0, missingMax).map((digest) => ({
          code: "MANIFEST_BLOB_UNKNOWN" as const,
          message: `The manifest refers to ${digest}, which the registry does not have. Nothing was stored; push it first.`,
          detail: { digest }
        }))
      })
    case "ManifestNeeded":
      return problem(405, "UNSUPPORTED", failure.message, {
        detail: { digest: failure.digest, indexes: failure.indexes },
        headers: undeletable
      })
    case "BlobNeeded":
      return problem(405, "UNSUPPORTED", failure.message, {
        detail: { digest: failure.digest },
        headers: undeletable
      })
    case "RepositoryUnknown":
      return problem(404, "NAME_UNKNOWN", failure.message, { detail: { name: failure.repository } })
    case "UploadsFull":
    case "ReadersFull":
      return problem(503, "UNAVAILABLE", failure.message, {
        headers: { "retry-after": String(retryAfterSeconds) },
        failure
      })
    case "BodiesFull":
    case "TransferShed":
      return problem(503, "UNAVAILABLE", failure.message, {
        headers: { "retry-after": String(retryAfterSeconds), connection: "close" },
        failure
      })
    case "BodySlow":
    case "BodyTooSlow":
    case "BodyIdle":
      return problem(408, "BLOB_UPLOAD_INVALID", failure.message, { headers: { connection: "close" } })
    case "BodyInCrumbs":
    case "BodyTorn":
      return problem(400, "SIZE_INVALID", failure.message, { headers: { connection: "close" } })
  }
}

const ofBackend = (failure: DatabaseError | StorageError): Problem => {
  if (failure._tag === "StorageError" && failure.reason === "Truncated") {
    return problem(
      400,
      "SIZE_INVALID",
      "The body does not have its declared length. Nothing was stored; send the whole body."
    )
  }
  if (failure._tag === "StorageError" && failure.reason === "TooLarge") return tooLarge
  // The verb does not repeat what takes too long, and its client may.
  return failure.isRetryable || failure.reason === "TimedOut" ? unavailable(failure) : internal(failure)
}

const tooLarge = problem(
  413,
  "SIZE_INVALID",
  "The registry's store takes no blob of this size, or not in this way. Nothing was stored; send the blob with a Content-Length, or a smaller one.",
  { headers: { connection: "close" } }
)
