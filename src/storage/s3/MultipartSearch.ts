/**
 * Whether a store lists unfinished uploads by a prefix. S3 demands it. MinIO lists them under their exact key,
 * and without a prefix those that the answering server remembers since its start.
 *
 * The listing alone cannot tell the two apart: without uploads both are empty. So an upload is begun, looked
 * for and aborted. What it shows is kept for as long as the process lives.
 */
import { randomUUID } from "node:crypto"
import { Effect, Ref, Stream } from "effect"
import { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type { MultipartSearch, MultipartUpload } from "../Storage.ts"
import type { Bucket } from "./Bucket.ts"
import { listUploads, openUpload } from "./Multipart.ts"

/** What is known of one store. `denied`: the credentials may not begin an upload, so they are not used for it again. */
export type Known = MultipartSearch | "denied"

/** Holds what is known of one store. */
export type SearchRef = Ref.Ref<Known>

/** Implements `Storage.multiparts` for a bucket. An upload that a prefix found proves that the store has them all. */
export const multiparts = (
  bucket: Bucket,
  known: SearchRef,
  prefix: string
): Stream.Stream<ReadonlyArray<MultipartUpload>, StorageError> =>
  Stream.unwrap(
    Effect.map(Ref.get(known), (search) =>
      search === "partial"
        ? listUploads(bucket, "", (key) => key.startsWith(prefix))
        : Stream.tap(listUploads(bucket, prefix), (page) =>
            prefix !== "" && page.some(({ key }) => key !== prefix) ? Ref.set(known, "complete") : Effect.void
          )
    )
  )

/** Implements `Storage.multipartSearch` for a bucket. */
export const search = Effect.fn("S3.multipartSearch")(function* (
  bucket: Bucket,
  known: SearchRef,
  prefix: string,
  mayWrite: boolean
) {
  const before = yield* Ref.get(known)
  if (before !== "unknown" || !mayWrite) return publicly(before)
  const found = yield* Effect.catchIf(
    tested(bucket, prefix),
    // Credentials may list and not write, and a store may have no uploads in parts.
    ({ reason }) => reason === "AccessDenied" || reason === "Rejected",
    () => Effect.succeed<Known>("denied")
  )
  yield* Ref.set(known, found)
  return publicly(found)
})

const publicly = (known: Known): MultipartSearch => (known === "denied" ? "unknown" : known)

const tested = (bucket: Bucket, prefix: string): Effect.Effect<Known, StorageError> => {
  const folder = `${prefix}artifact-gc-test/`
  const key = ObjectKey.make(folder + randomUUID())
  return Effect.scoped(
    Effect.gen(function* () {
      const { UploadId } = yield* openUpload(bucket, key)
      const isFound = (within: string) =>
        Effect.map(Stream.runCollect(listUploads(bucket, within)), (pages) =>
          pages.flat().some(({ uploadId }) => uploadId === UploadId)
        )
      if (yield* isFound(folder)) return "complete"
      // A store that does not show it under its key either shows it later, or never.
      return (yield* isFound(key)) ? "partial" : "unknown"
    })
  )
}
