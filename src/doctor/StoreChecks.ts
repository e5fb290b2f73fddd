/**
 * Checks of the store. Without `write` they send no request that changes anything. With it, one object is written, read and
 * deleted, under a key that no blob has, and one upload in parts is begun and aborted.
 */
import { Clock, Effect, Option, Random, Result, Stream } from "effect"
import type { Configuration } from "../config/Config.ts"
import { ObjectKey } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { Storage } from "../storage/Storage.ts"
import { emptyMemory } from "../sweep/preflight/Guard.ts"
import { storeGuard } from "../sweep/preflight/StoreGuard.ts"
import { type Check, failureOf, type Group } from "./Check.ts"
import { type Found, ok } from "./Finding.ts"
import { lifecycle } from "./LifecycleCheck.ts"
import { allow } from "./Policy.ts"
import { presigned } from "./PresignedCheck.ts"
import { foundOf } from "./Refusals.ts"

const privileges = "docs/operations.md#privileges"

/** Returns the checks of the store. `write` also tries to write and to delete. */
export const storeGroup = (configuration: Configuration, write: boolean): Group<Storage> => ({
  name: "store",
  gate: listing(configuration),
  checks: [
    server,
    reading(configuration),
    bucket(configuration),
    lifecycle(configuration),
    uploads(configuration, write),
    presigned(configuration),
    writing(configuration, write)
  ]
})

/** Returns the finding of a failure, with the statement of a policy where a right is missing. */
const denied = (error: StorageError, title: string, fix: string | null): Found =>
  error.reason === "AccessDenied"
    ? { severity: "problem", title, seen: error.message, ...(fix === null ? {} : { fix }) }
    : failureOf(error)

const listing = (configuration: Configuration): Check<Storage> => ({
  name: "store",
  about: "The store answers, exists, and can be listed.",
  docs: privileges,
  run: Effect.gen(function* () {
    const { description, probe } = yield* Storage
    const answer = yield* Effect.result(probe)
    if (Result.isSuccess(answer)) return [ok("The store answers and can be listed", description)]
    return [
      denied(answer.failure, "The store cannot be listed", allow(configuration, "bucket", "s3:ListBucket"))
    ]
  })
})

const server: Check<Storage> = {
  name: "dialect",
  about: "What the store calls itself.",
  docs: "docs/operations.md#stores",
  run: Effect.gen(function* () {
    const { description, server } = yield* Storage
    const name = server === undefined ? null : yield* server
    return [ok("The store's server", name === null ? description : `It calls itself ${name}.`)]
  })
}

/** Returns S3_VERSIONED_DELETE. */
const chosenDelete = ({ place }: Configuration) =>
  place._tag === "External" && place.store._tag === "S3" ? place.store.versionedDelete : undefined

/** A key that no blob has. It is below the prefix of blobs, so that a search for leftovers finds what a crash leaves. */
const probeKey = ({ sweep }: Configuration, suffix: string): ObjectKey =>
  ObjectKey.make(`${sweep.blobPrefix}artifact-gc-doctor-probe-${suffix}`)

const reading = (configuration: Configuration): Check<Storage> => ({
  name: "reading",
  about: "Objects can be looked up and read.",
  docs: privileges,
  run: Effect.gen(function* () {
    const { get, head, list } = yield* Storage
    const fix = allow(configuration, "objects", "s3:GetObject")
    // A store answers 404 for an absent key only to credentials that may read it.
    const absent = yield* Effect.result(head(probeKey(configuration, "absent")))
    if (Result.isFailure(absent)) return [denied(absent.failure, "Objects cannot be looked up", fix)]
    const first = yield* list(configuration.sweep.blobPrefix).pipe(
      Stream.filter((page) => page.length > 0),
      Stream.runHead
    )
    const object = Option.getOrUndefined(first)?.find(({ sizeBytes }) => sizeBytes > 0)
    if (object === undefined) {
      return [ok("Objects can be looked up", "There is none to read below GC_BLOB_PREFIX.")]
    }
    const answer = yield* Effect.result(Stream.runDrain(get(object.key, { start: 0, end: 0 })))
    if (Result.isFailure(answer) && answer.failure.reason !== "NotFound") {
      return [denied(answer.failure, "Objects cannot be read", fix)]
    }
    return [ok("Objects can be looked up and read", `The first byte of ${object.key} was read.`)]
  })
})

const bucket = (configuration: Configuration): Check<Storage> => ({
  name: "versions",
  about:
    "Versioning and object lock of the bucket: whether a delete frees space, and whether it may be refused.",
  docs: "docs/operations.md#buckets-with-versions-or-locks",
  run: Effect.gen(function* () {
    const { traits } = yield* Storage
    const known = yield* Effect.result(traits)
    if (Result.isFailure(known)) {
      const fix = allow(
        configuration,
        "bucket",
        "s3:GetBucketVersioning",
        "s3:GetBucketObjectLockConfiguration"
      )
      return [denied(known.failure, "It is not known what a delete does in this bucket", fix)]
    }
    const answer = yield* Effect.result(storeGuard(yield* guardContext(configuration)))
    if (Result.isFailure(answer)) return foundOf(answer.failure)
    const { deletes, objectLock, versioning } = known.success
    const isSet = chosenDelete(configuration) !== undefined
    return [
      ...answer.success.map((seen): Found => ({ severity: "warning", title: "Objects may be locked", seen })),
      ...(deletes === "markers" ? [markers] : []),
      ...(isSet && versioning === "off" ? [unversioned] : []),
      ...(objectLock || deletes === "markers"
        ? []
        : [ok("A delete frees space", `Versioning is ${versioning}, and there is no object lock.`)])
    ]
  })
})

const markers: Found = {
  severity: "warning",
  title: "Deletes hide objects and free nothing",
  seen: "The bucket keeps versions, and S3_VERSIONED_DELETE is markers. Only a lifecycle rule with NoncurrentVersionExpiration frees the bytes.",
  fix: "S3_VERSIONED_DELETE=versions"
}

const unversioned: Found = {
  severity: "note",
  title: "S3_VERSIONED_DELETE is set, and the bucket has no versions",
  seen: "With `versions` each key costs a listing, which finds nothing here."
}

const guardContext = (configuration: Configuration) =>
  Effect.map(Clock.currentTimeMillis, (now) => ({
    settings: configuration.sweep,
    id: "",
    now,
    sources: [],
    dryRun: true,
    evenIfPaused: false,
    memory: emptyMemory(),
    tellStore: () => undefined,
    tellLost: () => undefined,
    activity: null,
    tellOrders: () => undefined,
    tellRegistered: () => undefined
  }))

const uploads = (configuration: Configuration, write: boolean): Check<Storage> => ({
  name: "uploads",
  about: "Unfinished uploads in parts can be listed. With `--write`: what such a listing proves.",
  docs: "docs/operations.md#uploads-in-parts",
  run: Effect.gen(function* () {
    const { multipartSearch, multiparts } = yield* Storage
    const { uploadPrefix } = configuration.sweep
    const listed = yield* Effect.result(
      Stream.runDrain(Stream.take(multiparts(`${uploadPrefix}artifact-gc-doctor-probe-`), 1))
    )
    if (Result.isFailure(listed)) {
      return [
        denied(
          listed.failure,
          "Unfinished uploads cannot be listed",
          allow(configuration, "bucket", "s3:ListBucketMultipartUploads")
        )
      ]
    }
    const search = yield* multipartSearch(uploadPrefix, write)
    if (search === "partial") {
      return [
        {
          severity: "note",
          title: "The store lists an upload in parts by its exact key only",
          seen: "Uploads of processes that died are found by what the database remembers of them.",
          fix: null
        }
      ]
    }
    return [
      ok(
        "Unfinished uploads can be listed",
        search === "complete"
          ? "A listing names all of them."
          : "What a listing proves is tested by the first sweep that writes, or by doctor --write."
      )
    ]
  })
})

const writing = (configuration: Configuration, write: boolean): Check<Storage> => ({
  name: "writing",
  about:
    "With `--write`: an object can be written, read and deleted. Not in a bucket that would keep it (locks, versions).",
  docs: privileges,
  run: write ? tryWriting(configuration) : Effect.succeed([unwritten])
})

const unwritten: Found = {
  severity: "note",
  title: "Writing and deleting were not tried",
  seen: "Without --write no request changes anything. Sweeps delete, and writers and serve also write.",
  fix: "artifact-gc doctor --write    # writes, reads and deletes one object of a few bytes"
}

const content = new TextEncoder().encode("artifact-gc doctor")

const tryWriting = (configuration: Configuration) =>
  Effect.gen(function* () {
    const { delete: remove, get, put, traits } = yield* Storage
    const { deletes, objectLock } = yield* traits
    if (objectLock || deletes === "markers") {
      return [
        {
          severity: "note",
          title: "Writing and deleting were not tried",
          seen: "The bucket would keep what is written: it has versions that a delete leaves, or object lock."
        } satisfies Found
      ]
    }
    const key = probeKey(configuration, (yield* Random.nextIntBetween(0, 2 ** 31)).toString(16))
    const written = yield* Effect.result(put(key, Stream.make(content), content.length))
    if (Result.isFailure(written)) {
      // It may have arrived although the answer was lost.
      if (written.failure.isRetryable) yield* Effect.ignore(remove([key]))
      const fix = allow(configuration, "objects", "s3:PutObject")
      return [denied(written.failure, "Objects cannot be written", fix)]
    }
    const read = yield* Effect.result(Stream.runDrain(get(key)))
    const deleted = yield* Effect.result(remove([key]))
    const kept = foundOfDelete(configuration, key, deleted)
    return [
      ...(Result.isFailure(read) ? [failureOf(read.failure)] : []),
      ...(kept === null
        ? [ok("An object can be written, read and deleted", `${key} was, and is gone.`)]
        : [kept])
    ]
  })

const foundOfDelete = (
  configuration: Configuration,
  key: ObjectKey,
  deleted: Result.Result<Effect.Success<ReturnType<Storage["Service"]["delete"]>>, StorageError>
): Found | null => {
  const versions = chosenDelete(configuration) === "versions"
  const rights = ["s3:DeleteObject", ...(versions ? ["s3:ListBucketVersions", "s3:DeleteObjectVersion"] : [])]
  // radosgw asks for the right on the bucket, too, before it deletes a batch.
  const fix = allow(configuration, "both", ...rights)
  const title = `Objects cannot be deleted, and ${key} stays`
  if (Result.isFailure(deleted)) return denied(deleted.failure, title, fix)
  const [failed] = deleted.success.failed
  if (failed === undefined) return null
  return { severity: "problem", title, seen: failed.detail, ...(fix === null ? {} : { fix }) }
}
