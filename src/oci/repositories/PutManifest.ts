/**
 * One manifest, pushed: read, stored as a blob under a short pin, and then recorded with what it refers to and its tags
 * in one transaction, which takes the pin's place.
 *
 * Success is that transaction. Before it nothing of the manifest is visible, and a pusher that dies leaves a blob that
 * ends with its pin.
 */
import { Clock, Duration, Effect, Option, Stream } from "effect"
import { DigestMismatch, DigestUnsupported, UploadExpired } from "../../blobs/errors.ts"
import { attemptsMax } from "../../blobs/WriterContext.ts"
import type { Manifest, ManifestReference, PutManifest } from "../../database/Database.ts"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import { algorithmOf, type Digest } from "../../domain/Digest.ts"
import { ManifestInvalid, ManifestMissingBlobs } from "./errors.ts"
import { type ManifestContents, parseManifest } from "./ManifestFormat.ts"
import { hash, nameOf, type RepositoryContext } from "./RepositoryContext.ts"

export interface PutManifestOptions {
  /** A tag, or a digest that the bytes must have. */
  readonly reference: string
  /** More tags (distribution-spec, "Pushing Manifests", `?tag=`). */
  readonly tags?: ReadonlyArray<string> | undefined
  /**
   * What the client says that the bytes are. Must agree with the manifest's own `mediaType`, if it has one; parameters
   * (`; charset=utf-8`) do not count. Empty when the client does not say.
   */
  readonly mediaType: string
}

/** From the blob's commit to that of the manifest: a transaction with all its time-outs, tried three times. */
const pinFor = Duration.minutes(10)

export const putManifest = Effect.fnUntraced(function* (
  context: RepositoryContext,
  repository: string,
  bytes: Uint8Array,
  options: PutManifestOptions
) {
  const { digest, tags } = yield* named(bytes, options)
  const contents = yield* Effect.fromResult(parseManifest(bytes, options.mediaType))
  const { annotations, artifactType, mediaType, subject } = contents
  const manifest: Manifest = {
    repository,
    digest,
    mediaType,
    sizeBytes: bytes.length,
    artifactType,
    annotations,
    subject
  }
  for (let attempt = 1; ; attempt++) {
    const put = { digest, sizeBytes: bytes.length, pin: pinFor, replayable: true }
    const { pin } = yield* context.blobs.put(Stream.make(bytes), put)
    const release = pin === null ? [] : [pin]
    const recorded = yield* record(context, manifest, contents, contents.references, { tags, release })
    if (recorded._tag === "stored") return { digest, mediaType, sizeBytes: bytes.length, subject }
    const [first, ...others] = recorded.digests.filter((missing) => missing !== digest)
    if (first !== undefined) {
      // It ends by itself, only later.
      yield* Effect.ignore(context.blobs.unpin(release))
      return yield* new ManifestMissingBlobs({ digests: [first, ...others] })
    }
    // Its own bytes were collected since, which takes a collector whose clock is ahead by more than the pin.
    if (attempt >= attemptsMax) return yield* new UploadExpired({ digest, attempts: attempt })
  }
})

/** By what digest and which tags the bytes shall be found. */
const named = Effect.fnUntraced(function* (bytes: Uint8Array, { reference, tags = [] }: PutManifestOptions) {
  const wrong = tags.find((tag) => !Option.exists(nameOf(tag), ({ _tag }) => _tag === "Tag"))
  if (wrong !== undefined) return yield* new ManifestInvalid({ problem: `"${wrong}" is no tag` })
  const name = Option.getOrNull(nameOf(reference))
  if (name === null) return yield* unnamable(reference)
  if (name._tag === "Tag") {
    return { digest: hash("sha256", bytes), tags: [...new Set([name.tag, ...tags])] }
  }
  const digest = hash(algorithmOf(name.digest) ?? "sha256", bytes)
  if (digest !== name.digest) return yield* new DigestMismatch({ declared: name.digest, actual: digest })
  return { digest, tags: [...new Set(tags)] }
})

const unnamable = (reference: string): ManifestInvalid | DigestUnsupported =>
  reference.includes(":") && reference.length <= 512
    ? new DigestUnsupported({ digest: reference as Digest })
    : new ManifestInvalid({ problem: `"${reference.slice(0, 512)}" is neither a tag nor a digest` })

/**
 * Records the manifest with `references`, or without those layers among them that are not here and that clients find
 * elsewhere.
 */
const record = (
  context: RepositoryContext,
  manifest: Manifest,
  contents: ManifestContents,
  references: ReadonlyArray<ManifestReference>,
  options: { readonly tags: ReadonlyArray<string>; readonly release: ReadonlyArray<string> }
): Effect.Effect<PutManifest, DatabaseError> =>
  Effect.gen(function* () {
    const { manifests } = context.database
    // Doing it again does no harm, so a lost answer is no reason to send the client away.
    const recorded = yield* Effect.flatMap(Clock.currentTimeMillis, (now) =>
      manifests.put(now, manifest, references, options)
    ).pipe(Effect.retry({ times: attemptsMax - 1, while: (error) => error.isRetryable }))
    if (recorded._tag === "stored") return recorded
    const needed = recorded.digests.filter((digest) => !contents.dispensable.has(digest))
    if (needed.length > 0) return { _tag: "missing", digests: needed }
    const missing = new Set(recorded.digests)
    const present = references.filter(({ digest }) => !missing.has(digest))
    return present.length < references.length
      ? yield* record(context, manifest, contents, present, options)
      : recorded
  })
