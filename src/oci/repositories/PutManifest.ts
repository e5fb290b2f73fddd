/**
 * Stores one manifest: parses it, stores its bytes as a blob under a short pin, and records its references
 * and tags in one transaction, which also releases the pin.
 *
 * Success is the commit of that transaction. Before it nothing of the manifest is visible. If the process
 * dies before it, the blob becomes an orphan when its pin ends.
 */
import { Clock, Duration, Effect, Option, Stream } from "effect"
import { DigestMismatch, DigestUnsupported, UploadExpired } from "../../blobs/errors.ts"
import { attemptsMax } from "../../blobs/WriterContext.ts"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import { algorithmOf, type Digest } from "../../domain/Digest.ts"
import type { Manifest, ManifestReference, PutManifest } from "../database/RegistryDatabase.ts"
import { ManifestInvalid, ManifestMissingBlobs } from "./errors.ts"
import { type ManifestContents, parseManifest } from "./ManifestFormat.ts"
import { hash, nameOf, type RepositoryContext } from "./RepositoryContext.ts"

/** What a client says of the manifest that it pushes. */
export interface PutManifestOptions {
  /** A tag, or a digest that the bytes must have. */
  readonly reference: string
  /** Further tags (distribution-spec, "Pushing Manifests", `?tag=`). Default: none. */
  readonly tags?: ReadonlyArray<string> | undefined
  /**
   * The request's media type, without regard to parameters (`; charset=utf-8`). Empty if the client gives
   * none. Must agree with the manifest's own `mediaType`, if it has one.
   */
  readonly mediaType: string
  /**
   * Whether the repository must have all blobs already. Default false: a blob may be anywhere in the registry. Set it where
   * the client may not read every repository, or it could read any blob whose digest it knows.
   */
  readonly ownBlobs?: boolean | undefined
}

/**
 * Outlasts the time between the blob's commit and the manifest's: a transaction with its time-outs, tried
 * three times.
 */
const pinDuration = Duration.minutes(10)

/** Implements `Repositories.putManifest`. */
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
  const references =
    options.ownBlobs === true ? yield* ownReferences(context, repository, contents) : contents.references
  for (let attempt = 1; ; attempt++) {
    const put = { digest, sizeBytes: bytes.length, pin: pinDuration, replayable: true }
    const { pin } = yield* context.blobs.put(Stream.make(bytes), put)
    const release = pin === null ? [] : [pin]
    const recorded = yield* record(context, manifest, contents, references, { tags, release })
    if (recorded._tag === "stored") return { digest, mediaType, sizeBytes: bytes.length, subject }
    const [first, ...others] = recorded.digests.filter((missing) => missing !== digest)
    if (first !== undefined) {
      // A pin that is not released ends by itself, only later.
      yield* Effect.ignore(context.blobs.unpin(release))
      return yield* new ManifestMissingBlobs({ digests: [first, ...others] })
    }
    // The manifest's own bytes were deleted since. That takes a collector whose clock is ahead by more than
    // the pin.
    if (attempt >= attemptsMax) return yield* new UploadExpired({ digest, attempts: attempt })
  }
})

/**
 * Returns the references whose blobs the repository has, without layers that clients find elsewhere. Fails with
 * `ManifestMissingBlobs` if others are missing. Manifests that an index lists are always in the repository.
 */
const ownReferences = Effect.fnUntraced(function* (
  { registry }: RepositoryContext,
  repository: string,
  { dispensable, references }: ManifestContents
) {
  const wanted = references.flatMap(({ digest, kind }) => (kind === "manifest" ? [] : [digest]))
  const now = yield* Clock.currentTimeMillis
  const own = yield* registry.manifests.having(now, repository, [...new Set(wanted)])
  const [first, ...others] = new Set(wanted.filter((digest) => !own.has(digest) && !dispensable.has(digest)))
  if (first !== undefined) return yield* new ManifestMissingBlobs({ digests: [first, ...others] })
  return references.filter(({ digest, kind }) => kind === "manifest" || own.has(digest))
})

/** Returns the digest and the tags that the bytes get. */
const named = Effect.fnUntraced(function* (bytes: Uint8Array, { reference, tags = [] }: PutManifestOptions) {
  const wrong = tags.find((tag) => !Option.exists(nameOf(tag), ({ _tag }) => _tag === "Tag"))
  if (wrong !== undefined) return yield* new ManifestInvalid({ problem: `"${wrong}" is not a valid tag` })
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
 * Records the manifest with `references`. Leaves out layers that are missing and that clients find elsewhere
 * (`urls`). Returns the digests that are missing otherwise.
 */
const record = (
  context: RepositoryContext,
  manifest: Manifest,
  contents: ManifestContents,
  references: ReadonlyArray<ManifestReference>,
  options: { readonly tags: ReadonlyArray<string>; readonly release: ReadonlyArray<string> }
): Effect.Effect<PutManifest, DatabaseError> =>
  Effect.gen(function* () {
    const { manifests } = context.registry
    // The call is idempotent, so a lost answer is retried here and not by the client.
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
