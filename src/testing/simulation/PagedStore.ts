/**
 * The store as a process of the simulation sees it. Pages of listings are small, bodies are read before they
 * are sent, and a body of several chunks is uploaded in parts.
 */
import { Clock, Effect, Exit, Option, Stream } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import { StorageError } from "../../domain/StorageError.ts"
import type { State } from "../../storage/Memory.ts"
import type { Storage } from "../../storage/Storage.ts"

/** Objects a page. Small, so that a listing of a few objects takes several requests. */
const pageMax = 2

/** Creates the store of a process. */
export const make = (options: {
  /** The store whose requests wait in the network. */
  readonly inner: Storage["Service"]
  /** The memory store behind the network. */
  readonly raw: Storage["Service"]
  readonly state: State
  /** Sends any other request to the store. */
  readonly request: <A>(
    verb: string,
    args: ReadonlyArray<unknown>,
    effect: Effect.Effect<A, StorageError>
  ) => Effect.Effect<A, StorageError>
  /** Returns a new upload id. */
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
    // The body belongs to the sender. It must not be read after its death, nor within the step of the store.
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

/** Fails as S3 does when the upload was aborted. */
const noSuchUpload = (key: ObjectKey) =>
  Effect.fail(
    new StorageError({
      operation: "put",
      subject: key,
      reason: "Rejected",
      detail: "NoSuchUpload"
    })
  )
