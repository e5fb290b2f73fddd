/**
 * Readers of blobs are sent to the store, so that no byte passes through this process.
 *
 * The address allows reading one object for a time. That time must be shorter than the wait between the purge of a blob and the
 * deletion of its object (GC_DELETE_DELAY): the address of a blob that is deleted meanwhile then works until it ends.
 * A client that has the address has the bytes, so it belongs in no log, and caches are told not to keep it.
 */
import { Effect } from "effect"
import type { HttpServerResponse } from "effect/http"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { emptyResponse, type RedirectOptions } from "./Handler.ts"

/** Whether a reader with this `User-Agent` is sent to the store. */
export const isRedirected = (
  redirect: RedirectOptions | null,
  agent: string | undefined
): redirect is RedirectOptions => {
  if (redirect === null) return false
  const { agents } = redirect
  return agents === undefined || agents.some((begin) => agent?.startsWith(begin) === true)
}

/** Sends the reader to the store. A range applies there, because clients repeat it. */
export const redirected = (
  { presign }: RedirectOptions,
  key: ObjectKey,
  headers: Readonly<Record<string, string>>
): Effect.Effect<HttpServerResponse.HttpServerResponse, StorageError> =>
  Effect.map(presign(key), (location) =>
    emptyResponse(307, { ...headers, location, "cache-control": "no-store" })
  )
