/**
 * The store as a process of the simulation sees it: small pages, bodies that are read before they are sent, and uploads
 * in parts for those that come in several chunks.
 */
import { Clock, Effect, Exit, Option, Stream } from "effect"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { StorageError } from "../../../src/domain/StorageError.ts"
import type { State } from "../../../src/storage/Memory.ts"
import type { Storage } from "../../../src/storage/Storage.ts"

/** Objects a page, so that listings of a handful of objects take several requests. */
const pageMax = 2

export const make = (options: {
  /** Whose requests wait at the gate. */
  readonly inner: Storage["Service"]
  /** The store behind it. */
  readonly raw: Storage["Service"]
  readonly state: State
  /** Makes any other request to the store. */
  readonly request: <A>(
    verb: string,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, StorageError>
  ) => Effect.Effect<A, StorageError>
  /** Never the same one. */
  readonly uploadId: () => string
}): Storage["Service"] => {
  const { inner, raw, request, state } = options

  const begin = (key: ObjectKey) => {
    const uploadId = options.uploadId()
    const effect = Effect.map(Clock.currentTimeMillis, (lastActivityAt) => {
      state.multiparts.set(uploadId, { key, lastActivityAt })
    })
    return Effect.as(request("begin parts", [key, uploadId], effect), uploadId)
  }

  const complete = (
    key: ObjectKey,
    uploadId: string,
    chunks: ReadonlyArray<Uint8Array>,
    size: number | null
  ) => {
    const write = Effect.suspend(() =>
      state.multiparts.delete(uploadId) ? raw.put(key, Stream.fromIterable(chunks), size) : noSuchUpload(key)
    )
    return request("complete parts", [key, uploadId], write)
  }

  const page = (prefix: string, after: string | undefined) =>
    Effect.map(Stream.runHead(raw.list(prefix, { after })), (first) =>
      Option.getOrElse(first, () => []).slice(0, pageMax)
    )

  return {
    ...inner,
    list: (prefix, listing) =>
      Stream.paginate(listing?.after, (after: string | undefined) =>
        Effect.map(request("list", [prefix, after], page(prefix, after)), (found) => {
          const last = found.at(-1)
          const more = found.length === pageMax && last !== undefined
          return [found.length === 0 ? [] : [found], more ? Option.some(last.key) : Option.none()] as const
        })
      ),
    multiparts: (prefix) =>
      Stream.unwrap(
        Effect.map(request("multiparts", [prefix], Stream.runCollect(raw.multiparts(prefix))), (pages) =>
          Stream.fromIterable(pages)
        )
      ),
    get: (key, range) =>
      Stream.unwrap(
        Effect.map(request("get", [key, range], Stream.runCollect(raw.get(key, range))), (chunks) =>
          Stream.fromIterable(chunks)
        )
      ),
    // A body is the caller's: it must not be read when the caller is dead, nor in the store's step.
    put: (key, body, sizeBytes, { onMultipart } = {}) =>
      Effect.flatMap(Stream.runCollect(body), (chunks) =>
        onMultipart === undefined || chunks.length < 2
          ? inner.put(key, Stream.fromIterable(chunks), sizeBytes)
          : Effect.acquireUseRelease(
              begin(key),
              (uploadId) => Effect.andThen(onMultipart(uploadId), complete(key, uploadId, chunks, sizeBytes)),
              (uploadId, exit) =>
                Exit.isSuccess(exit) ? Effect.void : Effect.ignore(inner.abortMultipart({ key, uploadId }))
            )
      )
  }
}

/** As S3 answers when the upload has been aborted. */
const noSuchUpload = (key: ObjectKey) =>
  Effect.fail(
    new StorageError({
      operation: "put",
      subject: key,
      reason: "Rejected",
      detail: "NoSuchUpload"
    })
  )
