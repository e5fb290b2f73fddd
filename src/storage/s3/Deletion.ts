/**
 * Deletes in batches where the store and the keys allow it, else one by one.
 *
 * A key counts as deleted when the store confirms it, in the store's dialect, and for no other reason. What a batch leaves
 * open is in the outcome as a failure; whoever asked keeps the key and asks again.
 */
import { Effect, Ref, Result } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError, StorageFailure } from "../../domain/StorageError.ts"
import { checkBatch } from "../Checks.ts"
import { fromFailure } from "../DeleteFailure.ts"
import type { DeleteFailure, DeleteOutcome } from "../Storage.ts"
import type { BatchAnswer, Bucket, Target } from "./Bucket.ts"
import { type Dialect, type DialectRef, learn } from "./Dialect.ts"
import { keyReason, RequestFailed } from "./Failure.ts"

/** Single deletes on their way at once. */
const singlesAtOnce = 16

/** Keys that are looked for to learn whether a store that names nothing has deleted all the same. */
const lookedFor = 3

/** `Storage.delete` for a bucket. In a versioned bucket the store only hides the objects: versions.ts. */
export const deleteObjects = Effect.fn("S3.delete")(function* (
  bucket: Bucket,
  dialect: DialectRef,
  keys: ReadonlyArray<ObjectKey>
) {
  yield* checkBatch(keys)
  const targets = keys.map((key) => ({ key }))
  const heard = { throttled: 0 }
  return outcome(keys, yield* deleteTargets(bucket, dialect, heard, targets), heard)
})

/** What the store said on the way. */
export interface Heard {
  /** How often it asked to slow down. */
  throttled: number
}

/** What became of `keys`, of which these were not deleted. */
export const outcome = (
  keys: ReadonlyArray<ObjectKey>,
  failed: ReadonlyArray<DeleteFailure>,
  { throttled }: Heard
): DeleteOutcome => {
  const kept = new Set(failed.map((failure) => failure.key))
  const deleted = keys.filter((key) => !kept.has(key))
  return throttled === 0 ? { deleted, failed } : { deleted, failed, throttled }
}

/** Deletes at most 1000 objects or versions; the answer is what is not deleted. Names versions of all or of none. */
export const deleteTargets = Effect.fnUntraced(function* (
  bucket: Bucket,
  dialect: DialectRef,
  heard: Heard,
  targets: ReadonlyArray<Target>
) {
  const { batches } = yield* Ref.get(dialect)
  const together = batches === "none" ? [] : targets.filter(isBatchable)
  const alone = batches === "none" ? targets : targets.filter((target) => !isBatchable(target))
  return [
    ...(together.length === 0 ? [] : yield* deleteTogether(bucket, dialect, heard, together)),
    ...(yield* deleteAlone(bucket, heard, alone))
  ]
})

const deleteTogether = (
  bucket: Bucket,
  dialect: DialectRef,
  heard: Heard,
  targets: ReadonlyArray<Target>
): Effect.Effect<ReadonlyArray<DeleteFailure>, StorageError> =>
  Effect.gen(function* () {
    const { batches } = yield* Ref.get(dialect)
    const withMd5 = batches === "md5"
    const answer = yield* Effect.result(
      bucket.requests.repeated({
        operation: "delete",
        subject: `${targets.length} keys in ${bucket.name}`,
        send: (signal) => bucket.calls.deleteBatch(targets, withMd5, signal),
        onThrottled: () => {
          heard.throttled += 1
        }
      })
    )
    if (Result.isSuccess(answer)) return yield* settle(bucket, dialect, heard, targets, answer.success)
    const error = answer.failure
    const refusal = readRefusal(error)
    if (refusal === "final") return yield* error
    if (refusal === "wants md5" && !withMd5) {
      yield* learn(dialect, "batches", "md5", error.detail)
      return yield* deleteTogether(bucket, dialect, heard, targets)
    }
    if (refusal !== "unreadable") yield* learn(dialect, "batches", "none", error.detail)
    return yield* deleteAlone(bucket, heard, targets)
  })

/** What is not deleted, by an answer that may be in a dialect nobody has heard yet. */
const settle = Effect.fnUntraced(function* (
  bucket: Bucket,
  dialect: DialectRef,
  heard: Heard,
  targets: ReadonlyArray<Target>,
  answer: BatchAnswer
) {
  const isSilent = (answer.Deleted ?? []).length === 0 && (answer.Errors ?? []).length === 0
  // A version that is gone cannot be told from one that never was by looking for its key.
  const isPlain = targets.every(({ versionId }) => versionId === undefined)
  if (isSilent && isPlain && (yield* Ref.get(dialect)).names === "each") {
    const sample = targets.slice(0, lookedFor)
    if (yield* areGone(bucket, sample)) {
      yield* learn(dialect, "names", "failures", `looked for ${sample.map(({ key }) => key).join(", ")}`)
    } else {
      yield* learn(dialect, "batches", "none", "it answered with nothing and deleted nothing")
      return yield* deleteAlone(bucket, heard, targets)
    }
  }
  return readBatch(targets, answer, (yield* Ref.get(dialect)).names)
})

const areGone = (bucket: Bucket, targets: ReadonlyArray<Target>) =>
  Effect.forEach(targets, ({ key }) =>
    bucket.requests
      .repeated({ operation: "head", subject: key, send: (signal) => bucket.calls.head(key, signal) })
      .pipe(
        Effect.as(false),
        Effect.catchIf(
          (error) => error.reason === "NotFound",
          () => Effect.succeed(true)
        )
      )
  ).pipe(Effect.map((gone) => gone.every((isGone) => isGone)))

/** One request each, once: a key's failure is in the outcome, and a store that is down is not asked 1000 times. */
const deleteAlone = Effect.fnUntraced(function* (
  bucket: Bucket,
  heard: Heard,
  targets: ReadonlyArray<Target>
) {
  let gaveUp: StorageError | undefined
  const deleteOne = (target: Target): Effect.Effect<ReadonlyArray<DeleteFailure>> =>
    gaveUp === undefined
      ? bucket.requests
          .once({
            operation: "delete",
            subject: target.key,
            send: (signal) => bucket.calls.deleteOne(target, signal),
            onThrottled: () => {
              heard.throttled += 1
            }
          })
          .pipe(
            Effect.as([]),
            Effect.catch((error) => {
              if (error.reason === "TimedOut" || error.reason === "Throttled") gaveUp = error
              return Effect.succeed(readSingle(target, error))
            })
          )
      : Effect.succeed([failedAs(target.key, gaveUp.reason, `not tried: ${gaveUp.detail}`)])
  const failures = yield* Effect.forEach(targets, (target) => Effect.suspend(() => deleteOne(target)), {
    concurrency: singlesAtOnce
  })
  return failures.flat()
})

/**
 * Whether a batch can name the key: XML 1.0 has no way to write most control characters nor U+FFFE and U+FFFF
 * (https://www.w3.org/TR/xml/#charsets), and parsers may change the others on the way back (§2.11).
 */
const isBatchable = ({ key }: Target): boolean => !/[\p{Cc}\ufffe\uffff]/u.test(key)

/**
 * What is not deleted. Only what the store confirms is, or, where it names failures only, what it does not name in an
 * answer that names nothing as deleted; what is absent is as good as deleted.
 */
const readBatch = (
  targets: ReadonlyArray<Target>,
  answer: BatchAnswer,
  names: Dialect["names"]
): ReadonlyArray<DeleteFailure> => {
  // A delete without a version is confirmed by its key, whatever version the store made of it.
  const withVersions = targets.some(({ versionId }) => versionId !== undefined)
  const nameOf = (key: string | undefined, versionId: string | undefined) =>
    withVersions ? `${versionId} of ${key}` : key
  const confirmed = new Set(answer.Deleted?.map(({ Key, VersionId }) => nameOf(Key, VersionId)))
  const isUnsaid = names === "failures" && confirmed.size === 0
  const errors = new Map(answer.Errors?.map((entry) => [nameOf(entry.Key, entry.VersionId), entry]))
  return targets.flatMap(({ key, versionId }): ReadonlyArray<DeleteFailure> => {
    const name = nameOf(key, versionId)
    const error = errors.get(name)
    if (error === undefined && (confirmed.has(name) || (isUnsaid && versionId === undefined))) return []
    if (error === undefined) {
      const detail = "the store's answer is silent about this key"
      return [{ key, reason: "unconfirmed", code: "Unconfirmed", detail }]
    }
    if (isAbsent(error.Code)) return []
    const { Code: code = "Unknown", Message: detail = "the store gave no reason" } = error
    return [{ key, reason: keyReason(code, detail), code, detail }]
  })
}

const isAbsent = (code: string | undefined) => code === "NoSuchKey" || code === "NoSuchVersion"

/**
 * What a refused batch says of the next one. `unsupported`: this store has no DeleteObjects that we can speak, so
 * do not ask again. `wants md5`: it insists on Content-MD5. `unreadable`: it did not understand this one, perhaps for a
 * key in it. Otherwise the refusal stands.
 */
const readRefusal = (error: StorageError): "unsupported" | "wants md5" | "unreadable" | "final" => {
  if (!(error.cause instanceof RequestFailed)) return "final"
  const { code, message, status } = error.cause
  if (status === 501 || status === 405 || code === "NotImplemented" || code === "MethodNotAllowed")
    return "unsupported"
  // Some say it with a code of their own, some only in words.
  if (code === "MissingContentMD5" || (status === 400 && /content-?md5/i.test(message))) return "wants md5"
  return ["MalformedXML", "InvalidRequest", "InvalidArgument"].includes(code) ? "unreadable" : "final"
}

/** The failure of what was deleted alone; none when it did not exist. */
const readSingle = ({ key }: Target, error: StorageError): ReadonlyArray<DeleteFailure> => {
  if (!(error.cause instanceof RequestFailed)) return [failedAs(key, error.reason, error.detail)]
  const { code, status } = error.cause
  if (isAbsent(code) || code === "NotFound") return []
  return [{ key, reason: keyReason(code, error.detail, status), code, detail: error.detail }]
}

/** The failure of a key without an answer of the store's; its code is our own word for it. */
export const failedAs = (key: ObjectKey, failure: StorageFailure, detail: string): DeleteFailure => ({
  key,
  reason: fromFailure(failure),
  code: failure,
  detail
})
