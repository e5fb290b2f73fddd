/** A small app for the tests of the open simulation: users store notes and refer to them in a second call. */
import { Duration, Effect, Stream } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { Simulation } from "../../../src/testing/index.ts"

/** Short waits, so that a run of some hundred steps deletes blobs. */
export const settings = { grace: Duration.minutes(10), quarantine: Duration.minutes(10) }

const texts = ["one", "two", "three"]

/** Returns one of three texts as a body. */
export const someBody = Effect.map(Simulation.rng, (rng) =>
  Stream.make(new TextEncoder().encode(rng.pick(texts)))
)

/** The reference that all users share. */
export const noteOf = (digest: string) => ({ _tag: "LocalFile", path: "/note", digest }) as never

/** Stores a text with a pin, waits as a user does, and refers to it. */
export const writer = (pin: Duration.Input) =>
  Effect.gen(function* () {
    const blobs = yield* BlobStore
    const { digest, pin: id } = yield* blobs.put(yield* someBody, { pin, replayable: true })
    yield* Simulation.pause
    yield* Effect.catchTag(
      blobs.reference([noteOf(digest)], { release: id === null ? [] : [id] }),
      "BlobUnknown",
      (error) => Simulation.report(error.message, "a stored text can be referred to")
    )
    yield* Simulation.count("notes")
  })

/** Removes a reference. */
export const remover = Effect.gen(function* () {
  const blobs = yield* BlobStore
  const { digest } = yield* blobs.put(yield* someBody, { replayable: true })
  yield* blobs.unreference([noteOf(digest)])
})

/** The app with pins of this length. */
export const appWith = (pin: Duration.Input) => ({
  actors: [
    Simulation.actor("writer", writer(pin), { count: 2 }),
    Simulation.actor("remover", remover),
    Simulation.collector({ count: 2 })
  ],
  settings
})
