/** What happens to deleted objects in a bucket. */
import { Effect } from "effect"
import { StorageError } from "../../domain/StorageError.ts"
import type { StoreTraits } from "../Storage.ts"
import type { Bucket } from "./Bucket.ts"
import { misbehaved, RequestFailed } from "./Failure.ts"

/** What a delete does in a bucket with versions: add delete markers, or delete all versions. */
export type VersionedDelete = "markers" | "versions"

/** Implements `Storage.traits` for a bucket. */
export const traits = Effect.fn("S3.traits")(function* (
  bucket: Bucket,
  versionedDelete: VersionedDelete | undefined
): Effect.fn.Return<StoreTraits, StorageError> {
  const { calls, name } = bucket
  const status = yield* ask(bucket, "s3:GetBucketVersioning", calls.versioning)
  const lock = yield* ask(bucket, "s3:GetBucketObjectLockConfiguration", calls.objectLock)
  const versioning = readStatus(status)
  if (versioning === undefined) {
    return yield* misbehaved("probe", name, `the store says that versioning is "${status}"`)
  }
  const deletes = versioning === "off" ? "objects" : (versionedDelete ?? "markers")
  const chosen = versioning === "off" || versionedDelete !== undefined
  return { versioning, objectLock: lock === "Enabled", deletes, chosen }
})

const readStatus = (status: string | undefined): StoreTraits["versioning"] | undefined =>
  (({ none: "off", Enabled: "on", Suspended: "suspended" }) as const)[status ?? "none"]

/** Returns the store's answer, or undefined if the store or the bucket does not have the feature. */
const ask = (
  { name, requests }: Bucket,
  permission: string,
  send: (signal: AbortSignal) => Promise<string | undefined>
): Effect.Effect<string | undefined, StorageError> =>
  requests.repeated({ operation: "probe", subject: name, send }).pipe(
    Effect.catchIf(isWithout, () => Effect.undefined),
    Effect.mapError((error) => (error.reason === "AccessDenied" ? missing(error, permission) : error))
  )

/** Whether the store says that the bucket has no lock, or that it supports neither locks nor versions. */
const isWithout = ({ cause }: StorageError): boolean =>
  cause instanceof RequestFailed &&
  (cause.code === "ObjectLockConfigurationNotFoundError" ||
    cause.code === "NotImplemented" ||
    cause.status === 501 ||
    cause.status === 405)

/** Returns the failure of a question about the bucket, with the permission that answers it. */
export const missing = (
  { cause, detail, operation, reason, subject }: StorageError,
  permission: string,
  why = "which shows whether deletes free space"
): StorageError =>
  new StorageError({
    operation,
    subject,
    reason,
    detail: `${detail}; grant ${permission} on the bucket, ${why}`,
    cause
  })
