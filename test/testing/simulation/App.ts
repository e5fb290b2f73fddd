/** A small app for the tests of the open simulation: users store texts, and notes of its own table refer to them. */
import { Duration, Effect, Stream } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { HostTables } from "../../../src/database/Memory.ts"
import { Simulation } from "../../../src/testing/index.ts"

/** Short waits, so that a run of some hundred steps deletes blobs. */
export const settings = { grace: Duration.minutes(10), quarantine: Duration.minutes(10) }

const texts = ["one", "two", "three"]

/** Returns one of three texts as a body. */
export const randomBody = Effect.map(Simulation.rng, (rng) =>
  Stream.make(new TextEncoder().encode(rng.pick(texts)))
)

/** Stores a text with a pin, waits as a user does, and refers to it in a second call. */
export const writer = (pin: Duration.Input) =>
  Effect.gen(function* () {
    const blobs = yield* BlobStore
    const tables = yield* HostTables
    const { digest } = yield* blobs.put(yield* randomBody, { pin, replayable: true })
    yield* Simulation.pause
    yield* Effect.catchTag(tables.upsert("notes", { id: "1", digest }), "RowRefused", (error) =>
      Simulation.report(error.message, "a stored text can be referred to")
    )
    yield* Simulation.count("notes")
  })

/** Stores a text and its note in one transaction. */
export const committing = Effect.gen(function* () {
  const blobs = yield* BlobStore
  const tables = yield* HostTables
  yield* blobs.put(yield* randomBody, {
    replayable: true,
    commit: ({ digest }) => tables.upsert("notes", { id: "1", digest })
  })
  yield* Simulation.count("notes")
})

/** Reads the note and its text in one transaction, and writes it again under another id. */
export const copier = Effect.gen(function* () {
  const tables = yield* HostTables
  yield* tables.transaction(
    Effect.gen(function* () {
      const [note] = yield* tables.rows("notes")
      if (note !== undefined) yield* tables.upsert("notes", { ...note, id: "2" })
    })
  )
  yield* Simulation.count("copies")
})

/** Deletes notes. */
export const remover = Effect.gen(function* () {
  const tables = yield* HostTables
  for (const { id } of yield* tables.rows("notes")) yield* tables.delete("notes", id)
})

/** What all apps here have. */
export const shared = { tables: ["notes"], settings }

/** The app with pins of this length. */
export const appWith = (pin: Duration.Input) => ({
  ...shared,
  actors: [
    Simulation.actor("writer", writer(pin), { count: 2 }),
    Simulation.actor("remover", remover),
    Simulation.collector({ count: 2 })
  ]
})
