/**
 * Deletes in batches where the store and the keys allow it, else one by one.
 *
 * A key counts as deleted when the store confirms it, and for no other reason. What a batch leaves open is in the
 * outcome as a failure; whoever asked keeps the key and asks again.
 */
import { Effect, Ref } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import { checkBatch } from "../refusals.ts"
import type { DeleteFailure } from "../Storage.ts"
import type { BatchAnswer, Bucket } from "./Bucket.ts"
import { RequestFailed } from "./failure.ts"

/** Single deletes on their way at once. */
const singlesAtOnce = 16

/** `Storage.delete` for a bucket; `hasBatches` is what is known of the store's DeleteObjects. */
export const deleteKeys = Effect.fn("S3.delete")(function* (
  bucket: Bucket,
  hasBatches: Ref.Ref<boolean>,
  keys: ReadonlyArray<ObjectKey>
) {
  yield* checkBatch(keys)
  const batches = yield* Ref.get(hasBatches)
  const together = batches ? keys.filter(isBatchable) : []
  const alone = batches ? keys.filter((key) => !isBatchable(key)) : keys
  const failed = [
    ...(together.length === 0 ? [] : yield* deleteTogether(bucket, hasBatches, together)),
    ...(yield* deleteAlone(bucket, alone))
  ]
  const kept = new Set(failed.map((failure) => failure.key))
  return { deleted: keys.filter((key) => !kept.has(key)), failed }
})

const deleteTogether = (bucket: Bucket, hasBatches: Ref.Ref<boolean>, keys: ReadonlyArray<ObjectKey>) =>
  bucket.requests
    .repeated({
      operation: "delete",
      subject: `${keys.length} keys in ${bucket.name}`,
      send: (signal) => bucket.calls.deleteBatch(keys, signal)
    })
    .pipe(
      Effect.map((answer) => readBatch(keys, answer)),
      Effect.catch(
        Effect.fnUntraced(function* (error) {
          const refusal = readRefusal(error)
          if (refusal === "final") return yield* error
          if (refusal === "unsupported") {
            yield* Ref.set(hasBatches, false)
            yield* Effect.logWarning(
              "The store refuses batches; objects are deleted one by one",
              error.detail
            )
          }
          return yield* deleteAlone(bucket, keys)
        })
      )
    )

/** One request a key, once: a key's failure is in the outcome, and a store that is down is not asked 1000 times. */
const deleteAlone = Effect.fnUntraced(function* (bucket: Bucket, keys: ReadonlyArray<ObjectKey>) {
  let gaveUp: StorageError | undefined
  const deleteOne = (key: ObjectKey): Effect.Effect<ReadonlyArray<DeleteFailure>> =>
    gaveUp === undefined
      ? bucket.requests
          .once({
            operation: "delete",
            subject: key,
            send: (signal) => bucket.calls.deleteOne(key, signal)
          })
          .pipe(
            Effect.as([]),
            Effect.catch((error) => {
              if (error.reason === "TimedOut" || error.reason === "Throttled") gaveUp = error
              return Effect.succeed(readSingle(key, error))
            })
          )
      : Effect.succeed([{ key, code: gaveUp.reason, detail: `not tried: ${gaveUp.detail}` }])
  const failures = yield* Effect.forEach(keys, (key) => Effect.suspend(() => deleteOne(key)), {
    concurrency: singlesAtOnce
  })
  return failures.flat()
})

/**
 * Whether a batch can name the key: XML 1.0 has no way to write most control characters nor U+FFFE and U+FFFF
 * (https://www.w3.org/TR/xml/#charsets), and parsers may change the others on the way back (§2.11).
 */
const isBatchable = (key: string): boolean => !/[\p{Cc}\ufffe\uffff]/u.test(key)

/** The keys that are not deleted. Only what the store confirms is; an absent key is as good as deleted. */
const readBatch = (keys: ReadonlyArray<ObjectKey>, answer: BatchAnswer): ReadonlyArray<DeleteFailure> => {
  const confirmed = new Set(answer.Deleted?.map((entry) => entry.Key))
  const errors = new Map(answer.Errors?.map((entry) => [entry.Key, entry]))
  return keys.flatMap((key): ReadonlyArray<DeleteFailure> => {
    const error = errors.get(key)
    if (error === undefined && confirmed.has(key)) return []
    if (error === undefined)
      return [{ key, code: "Unconfirmed", detail: "the store's answer is silent about this key" }]
    if (error.Code === "NoSuchKey") return []
    return [{ key, code: error.Code ?? "Unknown", detail: error.Message ?? "the store gave no reason" }]
  })
}

/**
 * What a refused batch says of the next one. `unsupported`: this store has no DeleteObjects that we can speak, so
 * do not ask again. `unreadable`: it did not understand this one, perhaps for a key in it. Otherwise the refusal
 * stands.
 */
const readRefusal = (error: StorageError): "unsupported" | "unreadable" | "final" => {
  if (!(error.cause instanceof RequestFailed)) return "final"
  const { code, status } = error.cause
  if (status === 501 || status === 405 || code === "NotImplemented" || code === "MethodNotAllowed")
    return "unsupported"
  // Stores that insist on Content-MD5, which the SDK no longer sends.
  if (code === "MissingContentMD5") return "unsupported"
  return ["MalformedXML", "InvalidRequest", "InvalidArgument"].includes(code) ? "unreadable" : "final"
}

/** The failure of a key that was deleted alone; none when it did not exist. */
const readSingle = (key: ObjectKey, error: StorageError): ReadonlyArray<DeleteFailure> => {
  const code = error.cause instanceof RequestFailed ? error.cause.code : error.reason
  return code === "NoSuchKey" || code === "NotFound" ? [] : [{ key, code, detail: error.detail }]
}
