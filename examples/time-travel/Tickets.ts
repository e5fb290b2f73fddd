/** Texts that are attached to tickets. A user uploads a text first, and confirms it in a second request. */
import { BlobStore, type Digest, MemoryDatabase } from "artifact-gc"
import { Context, Data, Effect, Layer, Stream } from "effect"

/** The user was told that the text is stored, and it is gone. */
export class TextLost extends Data.TaggedError("TextLost")<{ readonly id: string; readonly why: string }> {}

/** What the app does. */
export class Tickets extends Context.Service<
  Tickets,
  {
    /** Stores a text, and returns what the second request names. */
    readonly upload: (id: string, text: string) => Effect.Effect<Digest.Digest, unknown>
    /** Attaches an uploaded text. Fails with `TextLost` if it does not exist any more. */
    readonly confirm: (id: string, digest: Digest.Digest) => Effect.Effect<void, TextLost | object>
    /** Deletes confirmed attachments, and returns how many. */
    readonly close: Effect.Effect<number, unknown>
  }
>()("time-travel/Tickets") {}

const bodyOf = (text: string) => Stream.make(new TextEncoder().encode(text))

const make = Effect.gen(function* () {
  const blobs = yield* BlobStore.BlobStore
  const tables = yield* MemoryDatabase.HostTables
  const attach = (id: string, digest: Digest.Digest, confirmed: boolean) =>
    tables.upsert("attachments", { id, digest, confirmed })
  return { blobs, tables, attach }
})

type Parts = Effect.Success<typeof make>

const rest = ({ attach, tables }: Parts) => ({
  confirm: (id: string, digest: Digest.Digest) =>
    Effect.catchTag(attach(id, digest, true), "RowRefused", ({ message }) =>
      Effect.fail(new TextLost({ id, why: message }))
    ),
  close: Effect.gen(function* () {
    const confirmed = (yield* tables.rows("attachments")).filter((row) => row.confirmed === true)
    for (const { id } of confirmed) yield* tables.delete("attachments", id)
    return confirmed.length
  })
})

/** Keeps an uploaded text with a pin of ten minutes, and forgets that users think longer. */
export const withPin = Layer.effect(
  Tickets,
  Effect.map(make, (parts) => ({
    ...rest(parts),
    upload: (_, text) =>
      Effect.map(
        parts.blobs.put(bodyOf(text), { pin: "10 minutes", replayable: true }),
        ({ digest }) => digest
      )
  }))
)

/** Commits the text together with a row of the app, which keeps it for as long as the user thinks. */
export const withCommit = Layer.effect(
  Tickets,
  Effect.map(make, (parts) => ({
    ...rest(parts),
    upload: (id, text) =>
      Effect.map(
        parts.blobs.put(bodyOf(text), {
          replayable: true,
          commit: ({ digest }) => parts.attach(id, digest, false)
        }),
        ({ digest }) => digest
      )
  }))
)
