/**
 * Deletes in batches if the store and the keys allow it, and otherwise one by one.
 *
 * Invariant: a key counts as deleted only if the store confirms it, in the store's dialect. A key that a
 * batch does not settle is a failure in the outcome. The caller keeps the key and tries again later.
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

/** The most single deletes at once. */
const singlesAtOnce = 16

/** How many keys are looked up to learn whether a store that names no deleted key has deleted them. */
const lookedFor = 3

/**
 * Implements `Storage.delete` for a bucket. With versions, the store only hides the objects: see Versions.ts.
 */
export const deleteObjects = Effect.fn("S3.delete")(function* (
  bucket: Bucket,
  dialect: DialectRef,
  keys: ReadonlyArray<ObjectKey>
) {
  yield* checkBatch(keys)
  const targets = keys.map((key) => ({ key }))
  const heard = nothingHeard()
  return outcome(keys, yield* deleteTargets(bucket, dialect, heard, targets), heard)
})

/** Collects what the store says besides its answers. */
export interface Heard {
  /** How often it asked for fewer requests. */
  throttled: number
  /** The keys of requests that were sent again after an answer that was not definite. */
  readonly resent: Set<ObjectKey>
}

/** Returns what was heard before the first request. */
export const nothingHeard = (): Heard => ({ throttled: 0, resent: new Set() })

/** Returns the outcome of deleting `keys` with these failures. */
export const outcome = (
  keys: ReadonlyArray<ObjectKey>,
  failed: ReadonlyArray<DeleteFailure>,
  { resent, throttled }: Heard
): DeleteOutcome => {
  const kept = new Set(failed.map((failure) => failure.key))
  const deleted = keys.filter((key) => !kept.has(key))
  return {
    deleted,
    failed,
    ...(throttled === 0 ? {} : { throttled }),
    ...(resent.size === 0 ? {} : { resent: deleted.filter((key) => resent.has(key)) })
  }
}

/** Deletes at most 1000 objects or versions and returns the failures. All targets name a version, or none. */
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
    let sent = 0
    const answer = yield* Effect.result(
      bucket.requests.repeated({
        operation: "delete",
        subject: `${targets.length} keys in ${bucket.name}`,
        send: (signal) => {
          sent += 1
          if (sent > 1) for (const { key } of targets) heard.resent.add(key)
          return bucket.calls.deleteBatch(targets, withMd5, signal)
        },
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

/** Returns the failures that an answer to a batch contains. The answer may show a new dialect. */
const settle = Effect.fnUntraced(function* (
  bucket: Bucket,
  dialect: DialectRef,
  heard: Heard,
  targets: ReadonlyArray<Target>,
  answer: BatchAnswer
) {
  const isSilent = (answer.Deleted ?? []).length === 0 && (answer.Errors ?? []).length === 0
  // Looking up a key says nothing about one of its versions.
  const isPlain = targets.every(({ versionId }) => versionId === undefined)
  if (isSilent && isPlain && (yield* Ref.get(dialect)).names === "each") {
    const sample = targets.slice(0, lookedFor)
    if (yield* areGone(bucket, sample)) {
      yield* learn(dialect, "names", "failures", `looked up ${sample.map(({ key }) => key).join(", ")}`)
    } else {
      yield* learn(dialect, "batches", "none", "its answer was empty, and it deleted nothing")
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

/**
 * Sends one request for each target and returns the failures. After a time-out or a throttled request it
 * sends no more, so that a struggling store does not get 1000 requests.
 */
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
      : Effect.succeed([
          failedAs(target.key, gaveUp.reason, `not sent, because another delete failed: ${gaveUp.detail}`)
        ])
  const failures = yield* Effect.forEach(targets, (target) => Effect.suspend(() => deleteOne(target)), {
    concurrency: singlesAtOnce
  })
  return failures.flat()
})

/**
 * Whether a batch can name the key. XML 1.0 cannot represent most control characters, U+FFFE and U+FFFF
 * (https://www.w3.org/TR/xml/#charsets). Parsers may change the other control characters (§2.11).
 */
const isBatchable = ({ key }: Target): boolean => !/[\p{Cc}\ufffe\uffff]/u.test(key)

/**
 * Returns the failures of a batch. A target is deleted if the store confirms it or says that it is absent. A
 * store that names only failures confirms every key that it does not name, provided its answer names no
 * deleted key.
 */
const readBatch = (
  targets: ReadonlyArray<Target>,
  answer: BatchAnswer,
  names: Dialect["names"]
): ReadonlyArray<DeleteFailure> => {
  // The answer to a delete without a version may name the new delete marker's version. The key confirms it.
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
      const detail = "the store's answer does not mention this key"
      return [{ key, reason: "unconfirmed", code: "Unconfirmed", detail }]
    }
    if (isAbsent(error.Code)) return []
    const { Code: code = "Unknown", Message: detail = "the store gave no reason" } = error
    return [{ key, reason: keyReason(code, detail), code, detail }]
  })
}

const isAbsent = (code: string | undefined) => code === "NoSuchKey" || code === "NoSuchVersion"

/**
 * Returns what a refused batch means for the next one. `unsupported`: the store does not support
 * DeleteObjects, so no batch is sent again. `wants md5`: it requires a Content-MD5. `unreadable`: it did not
 * understand this batch, perhaps because of a key in it. `final`: the failure stands.
 */
const readRefusal = (error: StorageError): "unsupported" | "wants md5" | "unreadable" | "final" => {
  if (!(error.cause instanceof RequestFailed)) return "final"
  const { code, message, status } = error.cause
  if (status === 501 || status === 405 || code === "NotImplemented" || code === "MethodNotAllowed")
    return "unsupported"
  // Some stores have a code for it, others only a text.
  if (code === "MissingContentMD5" || (status === 400 && /content-?md5/i.test(message))) return "wants md5"
  return ["MalformedXML", "InvalidRequest", "InvalidArgument"].includes(code) ? "unreadable" : "final"
}

/** Returns the failure of a single delete, or none if the object did not exist. */
const readSingle = ({ key }: Target, error: StorageError): ReadonlyArray<DeleteFailure> => {
  if (!(error.cause instanceof RequestFailed)) return [failedAs(key, error.reason, error.detail)]
  const { code, status } = error.cause
  if (isAbsent(code) || code === "NotFound") return []
  return [{ key, reason: keyReason(code, error.detail, status), code, detail: error.detail }]
}

/** Returns the failure of a key for which the store gave no code. The failure's name is the code. */
export const failedAs = (key: ObjectKey, failure: StorageFailure, detail: string): DeleteFailure => ({
  key,
  reason: fromFailure(failure),
  code: failure,
  detail
})
