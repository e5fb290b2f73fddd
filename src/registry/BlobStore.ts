/**
 * The content-addressed writer: bytes in, blob with references out, safe against collectors that run meanwhile.
 *
 * Steps W1 to W4 of docs/design/protocol.md. Success is the commit of the references, never the upload: a blob that
 * lives already is adopted without sending a byte; otherwise the bytes go to a key that was never used before,
 * announced first, and become a blob only if the announcement is still there.
 */
import { createHash } from "node:crypto"
import { Clock, Context, Duration, Effect, Layer, Option, Schema, Stream } from "effect"
import { Database, type Publication, type Reference } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import { Digest, fromSha256Hex } from "../domain/Digest.ts"
import { fresh } from "../domain/ObjectKey.ts"
import type { StorageError } from "../domain/StorageError.ts"
import { type ByteRange, Storage } from "../storage/Storage.ts"

/** The bytes that arrived are not those that were announced. Nothing is visible. */
export class DigestMismatch extends Schema.TaggedError<DigestMismatch>()("DigestMismatch", {
  declared: Digest,
  actual: Digest
}) {
  override get message(): string {
    return `The bytes hash to ${this.actual}, declared was ${this.declared}. Nothing was stored; send the right bytes.`
  }
}

/** No blob of this digest lives. */
export class BlobUnknown extends Schema.TaggedError<BlobUnknown>()("BlobUnknown", { digest: Digest }) {
  override get message(): string {
    return `There is no blob ${this.digest}. It was never stored, or nothing referred to it and it was collected.`
  }
}

/** Collectors took the upload away again and again. */
export class UploadExpired extends Schema.TaggedError<UploadExpired>()("UploadExpired", {
  digest: Digest,
  attempts: Schema.Int
}) {
  override get message(): string {
    return `The upload of ${this.digest} outlasted its lease ${this.attempts} times. Nothing was stored; raise the upload lease.`
  }
}

/** Bytes to store, with what refers to them. */
export interface Upload<E, R> {
  readonly digest: Digest
  readonly sizeBytes: number
  /** Run once for each attempt, and not at all when the blob lives already. */
  readonly body: Stream.Stream<Uint8Array, E, R>
  /** At least one: a blob without references is garbage. */
  readonly references: readonly [Reference, ...ReadonlyArray<Reference>]
}

/** `uploaded`: bytes were sent; `deduplicated`: they were there already. */
export type PutOutcome = "uploaded" | "deduplicated"

export interface BlobStoreOptions {
  /** Where keys of new objects begin. Default `blobs/`. */
  readonly prefix?: string
  /**
   * How long an upload may take before a collector may reap it. Default 1 hour: a lost upload leaks for as long, a
   * slower one starts again.
   */
  readonly uploadLease?: Duration.Duration
  /** Uploads of one call in flight. Default 8. */
  readonly concurrency?: number
}

/** An upload that is reaped this often is not unlucky; its lease is too short. */
const attemptsMax = 3

export class BlobStore extends Context.Service<
  BlobStore,
  {
    /**
     * Stores blobs with their references, in three transactions for all of them together; answers in the order
     * given. A failure leaves each blob either stored with all its references or not at all; bytes that were sent
     * for the others are collected.
     */
    readonly putAll: <E, R>(
      uploads: ReadonlyArray<Upload<E, R>>
    ) => Effect.Effect<
      ReadonlyArray<PutOutcome>,
      E | DatabaseError | StorageError | DigestMismatch | UploadExpired,
      R
    >
    /** The blob's bytes, or those of `range`. */
    readonly open: (
      digest: Digest,
      range?: ByteRange
    ) => Stream.Stream<Uint8Array, BlobUnknown | DatabaseError | StorageError>
    /** Removes references; how many there were. Blobs that lose their last one become orphans. */
    readonly unreference: (references: ReadonlyArray<Reference>) => Effect.Effect<number, DatabaseError>
  }
>()("artifact-gc/registry/BlobStore") {
  static readonly layer = (
    options: BlobStoreOptions = {}
  ): Layer.Layer<BlobStore, never, Database | Storage> =>
    Layer.effect(
      BlobStore,
      Effect.gen(function* () {
        const database = yield* Database
        const storage = yield* Storage
        return BlobStore.of({
          putAll: Effect.fn("BlobStore.putAll")((uploads) => putAll(database, storage, options, uploads)),
          open: (digest, range) =>
            Stream.unwrap(
              Effect.gen(function* () {
                const found = yield* database.blobs.locate(digest)
                if (Option.isNone(found)) return yield* new BlobUnknown({ digest })
                return storage.get(found.value.key, range)
              })
            ),
          unreference: database.blobs.unreference
        })
      })
    )
}

type DatabaseService = (typeof Database)["Service"]
type StorageService = (typeof Storage)["Service"]

const putAll = Effect.fnUntraced(function* <E, R>(
  database: DatabaseService,
  storage: StorageService,
  options: BlobStoreOptions,
  uploads: ReadonlyArray<Upload<E, R>>
) {
  const outcomes = new Map<Upload<E, R>, PutOutcome>()
  let rest = uploads
  for (let attempt = 1; rest.length > 0; attempt++) {
    const live = yield* database.blobs.adopt(
      yield* Clock.currentTimeMillis,
      rest.flatMap((upload) => upload.references)
    )
    for (const upload of rest) if (live.has(upload.digest)) outcomes.set(upload, "deduplicated")
    const missing = rest.filter((upload) => !live.has(upload.digest))
    const expired = yield* publishMissing(database, storage, options, missing, outcomes)
    const first = expired[0]
    if (first !== undefined && attempt >= attemptsMax) {
      return yield* new UploadExpired({ digest: first.digest, attempts: attempt })
    }
    rest = expired
  }
  return uploads.map((upload): PutOutcome => outcomes.get(upload) ?? "deduplicated")
})

/** Announces, sends and publishes; answers the uploads that a collector reaped meanwhile. */
const publishMissing = Effect.fnUntraced(function* <E, R>(
  database: DatabaseService,
  storage: StorageService,
  options: BlobStoreOptions,
  missing: ReadonlyArray<Upload<E, R>>,
  outcomes: Map<Upload<E, R>, PutOutcome>
) {
  if (missing.length === 0) return []
  // Equal bytes within one call are sent once.
  const senders = [...new Map([...missing].reverse().map((upload) => [upload.digest, upload])).values()]
  const expiresAt =
    (yield* Clock.currentTimeMillis) + Duration.toMillis(options.uploadLease ?? Duration.hours(1))
  const publications = yield* Effect.forEach(senders, (upload) =>
    Effect.map(
      fresh(options.prefix ?? "blobs/", upload.digest),
      (key): Publication => ({
        key,
        digest: upload.digest,
        sizeBytes: upload.sizeBytes,
        references: missing
          .filter((other) => other.digest === upload.digest)
          .flatMap((other) => other.references)
      })
    )
  )
  yield* database.blobs.intend(publications.map(({ key, digest }) => ({ key, digest, expiresAt })))
  yield* Effect.forEach(
    senders,
    (upload, i) => {
      const key = publications[i]?.key
      return key === undefined ? Effect.void : storage.put(key, verified(upload), upload.sizeBytes)
    },
    { concurrency: options.concurrency ?? 8, discard: true }
  )
  const published = yield* database.blobs.publish(yield* Clock.currentTimeMillis, publications)
  const reaped = new Set(
    publications.filter((_, i) => published[i] === "expired").map(({ digest }) => digest)
  )
  const sent = new Set(senders)
  for (const upload of missing) outcomes.set(upload, sent.has(upload) ? "uploaded" : "deduplicated")
  return missing.filter((upload) => reaped.has(upload.digest))
})

/** The body, failing at its end unless it hashes to what was declared; so the store never completes the object. */
const verified = <E, R>(upload: Upload<E, R>): Stream.Stream<Uint8Array, E | DigestMismatch, R> =>
  Stream.suspend(() => {
    const hash = createHash("sha256")
    return upload.body.pipe(
      Stream.map((chunk) => {
        hash.update(chunk)
        return chunk
      }),
      Stream.concat(
        Stream.suspend(() => {
          const actual = fromSha256Hex(hash.digest("hex"))
          return actual === upload.digest
            ? Stream.empty
            : Stream.fail(new DigestMismatch({ declared: upload.digest, actual }))
        })
      )
    )
  })
