/**
 * External writers: apps that keep their references elsewhere. Each pins a blob, writes its reference to the other store,
 * and ends the pin once that write is acknowledged (docs/library/reference-sources.md).
 */
import { Effect, Option } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import type { Actor } from "./Actor.ts"
import { pinContent, someContent } from "./Writers.ts"

/** Few names, so that references move between blobs. */
const names = ["user 1", "user 2"]

/** Writes or removes one reference elsewhere. */
export const writeElsewhere = Effect.fnUntraced(function* (actor: Actor) {
  const { process, world } = actor
  const { elsewhere, oracle, rng } = world
  const name = rng.pick(names)
  if (rng.chance(0.5)) return yield* elsewhere.remove(process, name)
  const content = someContent(world)
  const pinned = yield* pinContent(actor, content)
  if (Option.isNone(pinned)) return
  const { id, until } = pinned.value
  const store = yield* BlobStore
  const unpin = Effect.suspend(() => {
    oracle.unpinned(id)
    return Effect.ignore(store.unpin([id]))
  })
  if (elsewhere.unpinsFirst) yield* unpin
  if (rng.chance(0.5)) yield* actor.pause
  // Without an answer the reference may be written later, and the pin keeps its blob until it expires.
  if (!(yield* elsewhere.write(process, name, content.digest, until))) return
  if (!elsewhere.unpinsFirst) yield* unpin
})
