/** Clients of a registry: they push images in upload sessions, tag them, move and delete tags, and pull. */
import { Clock, Duration, Effect, Exit, Option, Stream } from "effect"
import type { Digest } from "../../../src/domain/Digest.ts"
import { holdId } from "../../../src/oci/Names.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { Uploads } from "../../../src/oci/Uploads.ts"
import { type Actor, checkFailure } from "./Actor.ts"
import type { Content } from "./Contents.ts"
import { type Image, imagesOf } from "./Images.ts"
import { tagNames, tagOf } from "./RegistryOracle.ts"

/** Few, so that clients meet. */
const repositories = ["x", "y"]

/** Does one unit of work: mostly a push. */
export const pushOrPull = (actor: Actor) =>
  Effect.suspend(() => {
    const { rng } = actor.world
    const kind = rng.below(10)
    if (kind < 6) return pushImage(actor)
    if (kind < 8) return abandon(actor)
    return pull(actor)
  })

/** Until when a repository holds a blob of which a client was told now. `share`: of a hold, at least. */
const heldUntil = ({ process, world: { parameters } }: Actor, began: number, share: number): number =>
  began +
  share * Duration.toMillis(parameters.hold) +
  Math.min(0, process.aheadMillis) -
  2 * parameters.skewMillis

const held = (actor: Actor, repository: string, digest: Digest, until: number) => {
  const { oracle, time } = actor.world
  if (time.now() < until) oracle.pinned(holdId(repository, digest), digest, until)
}

/** Pushes the blobs of an image, then its manifest, and at times an index over it. */
const pushImage = Effect.fnUntraced(function* (actor: Actor) {
  const { parameters, rng } = actor.world
  const { indexes, manifests } = imagesOf(parameters.contents)
  const repository = rng.pick(repositories)
  const image = rng.pick(manifests)
  if (!(yield* pushManifest(actor, repository, image, rng.chance(0.7)))) return
  if (!rng.chance(0.3)) return
  const index = rng.pick(indexes)
  for (const child of index.manifests)
    if (child !== image && !(yield* pushManifest(actor, repository, child, false))) return
  yield* putManifest(actor, repository, index, rng.chance(0.7), Number.POSITIVE_INFINITY)
})

/** Returns whether the manifest was stored. */
const pushManifest = Effect.fnUntraced(function* (
  actor: Actor,
  repository: string,
  image: Image,
  isTagged: boolean
) {
  let until = Number.POSITIVE_INFINITY
  for (const content of image.blobs) {
    const kept = yield* haveBlob(actor, repository, content)
    if (kept === null) return false
    until = Math.min(until, kept)
  }
  if (actor.world.rng.chance(0.3)) yield* actor.pause
  return yield* putManifest(actor, repository, image, isTagged, until)
})

/** Makes the repository have a blob. Returns until when it is held, or null after a failure. */
const haveBlob = Effect.fnUntraced(function* (actor: Actor, repository: string, content: Content) {
  const { rng, time } = actor.world
  const { digest } = content
  const registry = yield* Repositories
  const began = time.now()
  const look = rng.chance(0.7)
    ? Effect.map(registry.blob(repository, digest), Option.isSome)
    : rng.chance(0.5)
      ? registry.mount(repository, digest, rng.chance(0.5) ? null : rng.pick(repositories))
      : Effect.succeed(false)
  const found = yield* Effect.exit(look)
  if (Exit.isFailure(found)) {
    yield* checkFailure(actor, found.cause, "looking for a blob of a repository")
    return null
  }
  if (found.value) {
    const until = heldUntil(actor, began, 3 / 4)
    held(actor, repository, digest, until)
    return until
  }
  return yield* upload(actor, repository, content)
})

/** Uploads a blob in one request, or in a session. */
const upload = Effect.fnUntraced(function* (actor: Actor, repository: string, content: Content) {
  const { rng, time } = actor.world
  const { bytes, digest } = content
  const uploads = yield* Uploads
  let began = time.now()
  if (rng.chance(0.2)) {
    const whole = yield* Effect.exit(uploads.whole(repository, digest, Stream.make(bytes), bytes.length))
    if (Exit.isFailure(whole)) {
      yield* checkFailure(actor, whole.cause, "an upload in one request")
      return null
    }
    const until = heldUntil(actor, began, 1)
    held(actor, repository, digest, until)
    return until
  }
  const session = yield* sendChunks(actor, repository, bytes)
  if (session === null) return null
  began = time.now()
  const { lastActivityAt, id, sent } = session
  const rest = bytes.slice(sent)
  const finished = yield* Effect.exit(
    uploads.finish(repository, id, {
      digest,
      ...(rest.length === 0 ? {} : { body: Stream.make(rest), sizeBytes: rest.length, startByte: sent })
    })
  )
  if (Exit.isFailure(finished)) {
    yield* checkFailure(actor, finished.cause, "finishing an upload session", (tag) =>
      isExpected(actor, tag, lastActivityAt)
    )
    return null
  }
  actor.world.count("upload sessions finished")
  const until = heldUntil(actor, began, 1)
  held(actor, repository, digest, until)
  return until
})

/** A session that was idle may have expired. A request that was lost may still be at work on a session. */
const isExpected = ({ process, world: { parameters, time } }: Actor, tag: string, lastActivityAt: number) => {
  const idle = time.now() - lastActivityAt + 2 * parameters.skewMillis + Math.abs(process.aheadMillis)
  if (tag === "UploadUnknown") return idle >= Duration.toMillis(parameters.settings.uploadGrace ?? 0)
  return (tag === "UploadBusy" || tag === "OffsetMismatch") && parameters.faults + parameters.crashes > 0
}

/** Sends all bytes but at times the last ones. Asks for the status after a failure, and goes on from there. */
const sendChunks = Effect.fnUntraced(function* (actor: Actor, repository: string, bytes: Uint8Array) {
  const { rng, time } = actor.world
  const uploads = yield* Uploads
  let lastActivityAt = time.now()
  const started = yield* Effect.exit(uploads.start(repository))
  if (Exit.isFailure(started)) {
    yield* checkFailure(actor, started.cause, "starting an upload session")
    return null
  }
  const { id } = started.value
  let sent = 0
  const end = bytes.length - (rng.chance(0.4) ? 1 : 0)
  for (let failures = 0; sent < end && failures < 3; ) {
    if (rng.chance(0.2)) yield* actor.pause
    const chunk = bytes.slice(sent, sent + 1 + rng.below(2))
    const at = time.now()
    const appended = yield* Effect.exit(
      uploads.append(repository, id, Stream.make(chunk), { startByte: sent, sizeBytes: chunk.length })
    )
    if (Exit.isSuccess(appended)) {
      sent = appended.value.receivedBytes
      lastActivityAt = at
      continue
    }
    failures += 1
    const since = lastActivityAt
    yield* checkFailure(actor, appended.cause, "a chunk of an upload session", (tag) =>
      isExpected(actor, tag, since)
    )
    const status = yield* Effect.exit(uploads.status(repository, id))
    if (Exit.isFailure(status)) {
      yield* checkFailure(actor, status.cause, "the status of an upload session", (tag) =>
        isExpected(actor, tag, since)
      )
      return null
    }
    if (status.value.receivedBytes < sent)
      actor.world.oracle.report(`upload session ${id} has lost bytes that it acknowledged`)
    sent = status.value.receivedBytes
  }
  return sent < end ? null : { id, sent, lastActivityAt }
})

/** Stores a manifest. Returns whether it was stored. */
const putManifest = Effect.fnUntraced(function* (
  actor: Actor,
  repository: string,
  image: Image,
  isTagged: boolean,
  until: number
) {
  const { oracle, parameters, rng, time } = actor.world
  const { bytes, digest, mediaType } = image
  const tag = rng.pick(tagNames)
  const written = isTagged ? [tagOf(repository, tag, digest)] : []
  const registry = yield* Repositories
  const key = { process: actor.process }
  oracle.registry.asked(key, written)
  const began = time.now()
  const exit = yield* Effect.exit(
    registry.putManifest(repository, bytes, { reference: isTagged ? tag : digest, mediaType })
  )
  oracle.registry.answered(key, Exit.isSuccess(exit) ? written : [])
  if (Exit.isSuccess(exit)) {
    const grace = Duration.toMillis(parameters.settings.untaggedGrace ?? 0)
    oracle.registry.pushed(repository, digest, began + grace - 2 * parameters.skewMillis)
    actor.world.count("manifests stored")
    return true
  }
  yield* checkFailure(
    actor,
    exit.cause,
    "a manifest",
    // Children of an index are not promised: an untagged one may be deleted after its grace period.
    (name) => name === "ManifestMissingBlobs" && (image.manifests.length > 0 || time.now() >= until)
  )
  return false
})

/** Begins an upload that the client then cancels, or leaves to expire. */
const abandon = Effect.fnUntraced(function* (actor: Actor) {
  const { rng } = actor.world
  const { manifests } = imagesOf(actor.world.parameters.contents)
  const [content] = rng.pick(manifests).blobs
  const repository = rng.pick(repositories)
  if (content === undefined) return
  const session = yield* sendChunks(actor, repository, content.bytes)
  if (session === null) return
  if (rng.chance(0.5)) return actor.world.count("upload sessions left")
  const uploads = yield* Uploads
  const exit = yield* Effect.exit(uploads.cancel(repository, session.id))
  if (Exit.isSuccess(exit)) return actor.world.count("upload sessions cancelled")
  yield* checkFailure(actor, exit.cause, "cancelling an upload session", (tag) =>
    isExpected(actor, tag, session.lastActivityAt)
  )
})

/** Pulls a tag. If the tag stays, its manifest and all blobs must be readable. */
const pull = Effect.fnUntraced(function* (actor: Actor) {
  const { oracle, rng } = actor.world
  const all = [...oracle.registry.tags]
  if (all.length === 0) return
  const [id, acknowledged] = rng.pick(all)
  if (acknowledged.reference._tag !== "Artifact") return
  const { name, repository } = acknowledged.reference
  const registry = yield* Repositories
  const pulled = yield* Effect.exit(
    Effect.gen(function* () {
      const { bytes, digest } = yield* registry.manifest(repository, name)
      yield* Stream.runDrain(bytes)
      const { indexes, manifests } = imagesOf(actor.world.parameters.contents)
      const image = [...manifests, ...indexes].find((one) => one.digest === digest)
      const blobs = image === undefined ? [] : [image, ...image.manifests].flatMap(({ blobs }) => blobs)
      for (const blob of blobs) yield* Stream.runDrain(registry.open(blob.digest))
    })
  )
  if (oracle.registry.tags.get(id) !== acknowledged) return
  if (Exit.isFailure(pulled)) return yield* checkFailure(actor, pulled.cause, `pulling ${repository}:${name}`)
  actor.world.count("images pulled")
})

/** Deletes tags and manifests, and lists them again under another tag. */
export const retag = Effect.fnUntraced(function* (actor: Actor) {
  const { oracle, rng, rows } = actor.world
  const registry = yield* Repositories
  const some = [...rows.tags.values()]
  const manifests = [...rows.manifests.values()]
  const byDigest = rng.chance(0.3)
  const chosen: ReadonlyArray<{ readonly digest: Digest; readonly repository: string }> = byDigest
    ? manifests
    : some
  if (chosen.length === 0) return yield* Effect.asVoid(Clock.currentTimeMillis)
  const { digest, repository } = rng.pick(chosen)
  const tag = some.find((one) => one.repository === repository && one.digest === digest)?.name
  if (!byDigest && tag === undefined) return
  const asked = tagNames.map((name) => tagOf(repository, name, digest))
  const key = { process: actor.process }
  oracle.registry.asked(key, byDigest ? asked : asked.filter((_, n) => tagNames[n] === tag))
  const exit = yield* Effect.exit(registry.deleteManifest(repository, byDigest ? digest : (tag ?? "")))
  oracle.registry.answered(key, [])
  if (Exit.isFailure(exit))
    return yield* checkFailure(
      actor,
      exit.cause,
      "deleting a tag or a manifest",
      (name) => name === "ManifestUnknown" || name === "ManifestNeeded"
    )
  actor.world.count(byDigest ? "manifests deleted" : "tags deleted")
})
