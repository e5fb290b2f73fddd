/** The work of writers, and what each requires of the blob store. */

import { Duration, Effect, Exit, Option, Stream } from "effect"
import type { NewReference, Reference } from "../../../src/artifacts/Artifacts.ts"
import { BlobStore, type Upload } from "../../../src/blobs/BlobStore.ts"
import { type Actor, checkFailure } from "./Actor.ts"
import { type Content, contents } from "./Contents.ts"
import * as References from "./References.ts"
import type { World } from "./World.ts"

/** Few names, so that tags move between blobs and blobs lose their last reference. */
const names = ["v1", "latest"]

/** Draws the name of a reference. */
export const someName = ({ rng }: World): NewReference =>
  rng.chance(0.25)
    ? { _tag: "LocalFile", path: "/f" }
    : { _tag: "Artifact", repository: "r", name: rng.pick(names) }

/** Draws a content. */
export const someContent = ({ parameters, rng }: World): Content =>
  rng.pick(contents.slice(0, parameters.contents))

/** Returns the bytes in two chunks if there are two. */
const bodyOf = ({ bytes }: Content): Stream.Stream<Uint8Array> =>
  Stream.fromIterable([bytes.slice(0, 1), bytes.slice(1)].filter((chunk) => chunk.length > 0))

/** Does one random unit of work. */
export const write = (actor: Actor) =>
  Effect.suspend(() => {
    const { rng } = actor.world
    const kind = rng.below(10)
    if (kind < 4) return pushAll(actor)
    if (kind < 7) return push(actor)
    if (kind < 9) return pinAndRefer(actor)
    return pushWrong(actor)
  })

/** Stores one or two blobs with their references, in one call. */
const pushAll = Effect.fnUntraced(function* (actor: Actor) {
  const { world } = actor
  const { rng } = world
  const references: Array<Reference> = []
  const upload = (): Upload<never, never> => {
    const content = someContent(world)
    const { digest } = content
    const reference = (): Reference => ({ ...someName(world), digest })
    references.push(...(rng.chance(0.2) ? [reference(), reference()] : [reference()]))
    return { digest, sizeBytes: content.bytes.length, body: bodyOf(content) }
  }
  const uploads = rng.chance(0.2) ? [upload(), upload()] : [upload()]
  yield* committing(actor, references, References.putAll(actor, uploads, references), "a push")
})

/** Stores one blob, with or without a known digest, with references or a pin. */
export const push = Effect.fnUntraced(function* (actor: Actor) {
  const { world } = actor
  const { rng } = world
  const content = someContent(world)
  const references = rng.chance(0.7) ? [someName(world)] : []
  const known = rng.chance(0.7)
  const stored = yield* committing(
    actor,
    references.map((name): Reference => ({ ...name, digest: content.digest })),
    References.put(actor, bodyOf(content), references, {
      replayable: rng.chance(0.5),
      ...(known ? { digest: content.digest, sizeBytes: content.bytes.length } : {})
    }),
    "a put"
  )
  if (Option.isSome(stored) && stored.value.digest !== content.digest)
    world.oracle.report(`a put of ${content.digest} answered ${stored.value.digest}`)
})

/**
 * Pins a blob that exists or is stored, and tells the oracle. Returns the pin and the instant until which it holds at
 * least; none where there is no blob, or after a failure that a fault explains.
 */
export const pinContent = Effect.fnUntraced(function* (actor: Actor, content: Content) {
  const { oracle, parameters, rng, time } = actor.world
  const { digest } = content
  const store = yield* BlobStore
  const began = time.now()
  const millis = rng.pick([0.2, 5, 60]) * 60_000
  const pinned = yield* Effect.exit(
    Effect.gen(function* () {
      if (rng.chance(0.5)) return yield* store.pin(digest, millis)
      const stored = yield* store.put(bodyOf(content), { digest, pin: millis, replayable: true })
      return Option.fromNullishOr(stored.pin)
    })
  )
  if (Exit.isFailure(pinned)) {
    yield* checkFailure(actor, pinned.cause, "pinning")
    return Option.none<{ readonly id: string; readonly until: number }>()
  }
  if (Option.isNone(pinned.value)) return Option.none()
  const id = pinned.value.value
  // A writer whose clock is behind asks for a shorter time.
  const until = began + millis + Math.min(0, actor.process.aheadMillis) - 2 * parameters.skewMillis
  oracle.pinned(id, digest, until)
  return Option.some({ id, until })
})

/** Pins a blob and refers to it later, as a registry does that answers "this blob exists". */
const pinAndRefer = Effect.fnUntraced(function* (actor: Actor) {
  const { oracle, rng, time } = actor.world
  const content = someContent(actor.world)
  const { digest } = content
  const store = yield* BlobStore
  const pinned = yield* pinContent(actor, content)
  if (Option.isNone(pinned)) return
  const { id: pin, until } = pinned.value
  yield* actor.pause
  if (rng.chance(0.2)) {
    oracle.unpinned(pin)
    return yield* Effect.ignore(store.unpin([pin]))
  }
  const references: ReadonlyArray<Reference> = [{ ...someName(actor.world), digest }]
  const release = rng.chance(0.8) ? [pin] : []
  for (const id of release) oracle.unpinned(id)
  yield* committing(
    actor,
    references,
    (yield* References.referencesOf(actor)).reference(references, { release }),
    "a reference to a pinned blob",
    (tag) => tag === "BlobUnknown" && time.now() >= until
  )
})

/** Stores bytes that differ from the announced ones. No blob may have them. */
const pushWrong = Effect.fnUntraced(function* (actor: Actor) {
  const { world } = actor
  const right = someContent(world)
  const wrong = world.rng.pick(contents.filter((content) => content !== right))
  const sizeBytes = world.rng.chance(0.5) ? wrong.bytes.length : undefined
  const exit = yield* Effect.exit(
    Effect.flatMap(BlobStore, (store) =>
      store.put(bodyOf(wrong), { digest: right.digest, sizeBytes, pin: Duration.seconds(5) })
    )
  )
  // A blob that exists is adopted, and the body is not read.
  if (Exit.isSuccess(exit)) {
    if (exit.value.outcome === "uploaded") world.oracle.report("bytes with another digest were stored")
    return
  }
  yield* checkFailure(
    actor,
    exit.cause,
    "a put of wrong bytes",
    (tag) => tag === "DigestMismatch" || tag === "SizeMismatch"
  )
})

/**
 * Runs an effect that commits `references`, and records its answer. Returns none after an accepted failure.
 */
const committing = Effect.fnUntraced(function* <A, E, R>(
  actor: Actor,
  references: ReadonlyArray<Reference>,
  effect: Effect.Effect<A, E, R>,
  what: string,
  isAccepted: (tag: string) => boolean = () => false
) {
  const { oracle } = actor.world
  oracle.asked(actor.process, references)
  const exit = yield* Effect.exit(effect)
  const ids = references.map((reference) => JSON.stringify({ ...reference, digest: "" }))
  // Of two references with one name, either may be the last.
  const written = Exit.isSuccess(exit) && new Set(ids).size === ids.length ? references : []
  oracle.answered(actor.process, written)
  if (Exit.isSuccess(exit)) return Option.some(exit.value)
  yield* checkFailure(actor, exit.cause, what, isAccepted)
  return Option.none<A>()
})
