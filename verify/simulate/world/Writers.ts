/** What writers of a simulation do with the blob store, and what they hold it to. */
import { Cause, Duration, Effect, Exit, Option, Stream } from "effect"
import { BlobStore, type NewReference, type Upload } from "../../../src/blobs/BlobStore.ts"
import type { Reference } from "../../../src/database/Database.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import type { Self } from "./Actors.ts"
import { type Content, contents, simulated, type World } from "./World.ts"

/** Few names, so that tags move from blob to blob and blobs lose their last reference. */
const names = ["v1", "latest"]

const someName = ({ dice }: World): NewReference =>
  dice.chance(0.25)
    ? { _tag: "LocalFile", path: "/f" }
    : { _tag: "Artifact", repository: "r", name: dice.pick(names) }

const someContent = ({ dice, plan }: World): Content => dice.pick(contents.slice(0, plan.contents))

/** Two chunks where there are two bytes. */
const bodyOf = ({ bytes }: Content): Stream.Stream<Uint8Array> =>
  Stream.fromIterable([bytes.slice(0, 1), bytes.slice(1)].filter((chunk) => chunk.length > 0))

export const write = (self: Self) =>
  Effect.suspend(() => {
    const { dice } = self.world
    const kind = dice.below(10)
    if (kind < 4) return pushAll(self)
    if (kind < 7) return push(self)
    if (kind < 9) return announceAndRefer(self)
    return pushWrong(self)
  })

/** Stores one or two blobs with their references, in one go. */
const pushAll = Effect.fnUntraced(function* (self: Self) {
  const { world } = self
  const { dice } = world
  const upload = (): Upload<never, never> => {
    const content = someContent(world)
    const { digest } = content
    const reference = (): Reference => ({ ...someName(world), digest })
    const references = dice.chance(0.2) ? ([reference(), reference()] as const) : ([reference()] as const)
    return { digest, sizeBytes: content.bytes.length, body: bodyOf(content), references }
  }
  const uploads = dice.chance(0.2) ? [upload(), upload()] : [upload()]
  yield* committing(
    self,
    uploads.flatMap(({ references }) => references),
    Effect.flatMap(BlobStore, (store) => store.putAll(uploads)),
    "a push"
  )
})

/** Stores one blob whose digest is known, or not yet; with references, or a pin. */
const push = Effect.fnUntraced(function* (self: Self) {
  const { world } = self
  const { dice } = world
  const content = someContent(world)
  const references = dice.chance(0.7) ? [someName(world)] : []
  const known = dice.chance(0.7)
  const stored = yield* committing(
    self,
    references.map((name): Reference => ({ ...name, digest: content.digest })),
    Effect.flatMap(BlobStore, (store) =>
      store.put(bodyOf(content), {
        references,
        replayable: dice.chance(0.5),
        ...(known ? { digest: content.digest, sizeBytes: content.bytes.length } : {})
      })
    ),
    "a put"
  )
  if (Option.isSome(stored) && stored.value.digest !== content.digest)
    world.oracle.broken(`a put of ${content.digest} answered ${stored.value.digest}`)
})

/** "This blob exists", says the registry, and pins it; the manifest that refers to it comes later. */
const announceAndRefer = Effect.fnUntraced(function* (self: Self) {
  const { oracle, dice, time, plan } = self.world
  const content = someContent(self.world)
  const { digest } = content
  const store = yield* BlobStore
  const began = time.now()
  const millis = dice.pick([0.2, 5, 60]) * 60_000
  const pinned = yield* Effect.exit(
    Effect.gen(function* () {
      if (dice.chance(0.5)) return yield* store.pin(digest, millis)
      const stored = yield* store.put(bodyOf(content), { digest, pin: millis, replayable: true })
      return Option.fromNullishOr(stored.pin)
    })
  )
  if (Exit.isFailure(pinned)) return yield* excused(self, pinned.cause, "pinning")
  if (Option.isNone(pinned.value)) return
  const pin = pinned.value.value
  // Whose clock is behind has asked for less.
  const until = began + millis + Math.min(0, self.process.aheadMillis) - 2 * plan.skewMillis
  oracle.pinned(pin, digest, until)
  yield* self.pause
  if (dice.chance(0.2)) {
    oracle.letGo(pin)
    return yield* Effect.ignore(store.unpin([pin]))
  }
  const references: ReadonlyArray<Reference> = [{ ...someName(self.world), digest }]
  const release = dice.chance(0.8) ? [pin] : []
  for (const id of release) oracle.letGo(id)
  yield* committing(
    self,
    references,
    store.reference(references, { release }),
    "a reference to a pinned blob",
    (tag) => tag === "BlobUnknown" && time.now() >= until
  )
})

/** Bytes that are not those announced: nothing of them may be seen. */
const pushWrong = Effect.fnUntraced(function* (self: Self) {
  const { world } = self
  const right = someContent(world)
  const wrong = world.dice.pick(contents.filter((content) => content !== right))
  const sizeBytes = world.dice.chance(0.5) ? wrong.bytes.length : undefined
  const exit = yield* Effect.exit(
    Effect.flatMap(BlobStore, (store) =>
      store.put(bodyOf(wrong), { digest: right.digest, sizeBytes, pin: Duration.seconds(5) })
    )
  )
  // A blob that lives already is adopted, and the body not read.
  if (Exit.isSuccess(exit)) {
    if (exit.value.outcome === "uploaded") world.oracle.broken("bytes with another digest were stored")
    return
  }
  yield* excused(
    self,
    exit.cause,
    "a put of wrong bytes",
    (tag) => tag === "DigestMismatch" || tag === "SizeMismatch"
  )
})

/** Runs what commits `references`, and holds the world to its answer; none when it failed as it may. */
const committing = Effect.fnUntraced(function* <A, E, R>(
  self: Self,
  references: ReadonlyArray<Reference>,
  effect: Effect.Effect<A, E, R>,
  what: string,
  may: (tag: string) => boolean = () => false
) {
  const { oracle } = self.world
  oracle.asked(self.process, references)
  const exit = yield* Effect.exit(effect)
  const ids = references.map((reference) => JSON.stringify({ ...reference, digest: "" }))
  // Of two references of one name, either may be the last.
  const written = Exit.isSuccess(exit) && new Set(ids).size === ids.length ? references : []
  oracle.answered(self.process, written)
  if (Exit.isSuccess(exit)) return Option.some(exit.value)
  yield* excused(self, exit.cause, what, may)
  return Option.none<A>()
})

/**
 * Failures that the simulation caused may surface, and an upload that outlasts its lease again and again; others must
 * not, save those that `may`.
 */
export const excused = (
  { world }: Self,
  cause: Cause.Cause<unknown>,
  what: string,
  may: (tag: string) => boolean = () => false
) =>
  Effect.sync(() => {
    if (Cause.hasInterruptsOnly(cause)) return
    const error = Cause.squash(cause) as {
      readonly _tag?: string
      readonly detail?: string
      readonly message?: string
    }
    if (error.detail === simulated) return
    const tag = error._tag ?? ""
    if (tag === "UploadExpired") return world.count("uploads expired")
    if (may(tag)) return
    world.oracle.broken(`${what} failed, and no fault explains it: ${error.message ?? String(error)}`)
  })

/** What a writer wrote, by digest. */
export const bytesOf = (digest: Digest): Uint8Array | undefined =>
  contents.find((content) => content.digest === digest)?.bytes
