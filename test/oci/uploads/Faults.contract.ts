/**
 * The faults of a replica that takes an upload. After each, the client continues at the other replica and
 * gets its blob, or disconnects. Once all clients have ended, exactly the referenced blobs are left, and
 * without references nothing.
 */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Result } from "effect"
import { TestClock } from "effect/testing"
import type { Algorithm } from "../../../src/domain/Digest.ts"
import type { UploadStatus, Uploads, UploadsOptions } from "../../../src/oci/Uploads.ts"
import {
  type FaultStory,
  type FaultTable,
  type Rule,
  reapsBefore,
  type Strike
} from "../../fixtures/FaultTable.ts"
import {
  body,
  cleansUp,
  counted,
  digestOf,
  isThere,
  pulled,
  repository,
  Stage,
  sound,
  stageOf
} from "../../fixtures/oci/UploadStage.ts"
import { killedWhen, settle } from "../../fixtures/World.ts"

type Push = Effect.Effect<unknown, { readonly _tag: string }, Stage>

interface Story extends FaultStory {
  readonly content: string
  /** Settings of both replicas. */
  readonly uploads?: UploadsOptions
  readonly algorithm?: Algorithm
  /** What happens to the replica's calls without a fault of the table. */
  readonly own?: (stage: Stage["Service"]) => Rule
  /** What the client does. It reports its session. */
  readonly act: (uploads: Uploads["Service"], began: (session: UploadStatus) => void) => Push
}

/** What the client does after the fault. */
const clients = ["continues at the other replica", "disconnects"] as const
type Client = (typeof clients)[number]

/** A push of `chunks`, closed with `last` if there is one. */
const pushes =
  (chunks: ReadonlyArray<string>, last?: string, algorithm?: Algorithm): Story["act"] =>
  (uploads, began) =>
    Effect.gen(function* () {
      let session = yield* uploads.start(repository)
      began(session)
      for (const chunk of chunks) {
        const options = { startByte: session.receivedBytes, sizeBytes: chunk.length }
        session = yield* uploads.append(repository, session.id, body(chunk), options)
        began(session)
      }
      const digest = digestOf(chunks.join("") + (last ?? ""), algorithm)
      const given = last === undefined ? {} : { body: body(last), sizeBytes: last.length }
      return yield* uploads.finish(repository, session.id, { digest, ...given })
    })

const reaped = (how: "reaped" | "deleted") => (stage: Stage["Service"]) =>
  reapsBefore("sessions.complete", how, stage)

/** The store joins chunks of any length. */
const joining: UploadsOptions = { joinFromBytes: 1 }

const stories: ReadonlyArray<Story> = [
  {
    name: "one chunk",
    content: "hello world",
    act: pushes(["hello world"]),
    calls: ["sessions.open", "sessions.read", "blobs.intend", "put", "sessions.append", "sessions.claim"]
  },
  {
    name: "one chunk that is named by another hash",
    content: "hello world",
    algorithm: "sha512",
    act: pushes(["hello world"], undefined, "sha512"),
    calls: ["get", "sessions.complete"]
  },
  {
    name: "several chunks",
    content: "hello world",
    act: pushes(["hel", "lo ", "world"]),
    calls: ["sessions.claim", "blobs.intend", "get", "put", "sessions.complete"]
  },
  {
    name: "a chunk and a last body",
    content: "hello world",
    act: pushes(["hello "], "world"),
    calls: ["get", "put", "sessions.complete"]
  },
  { name: "a body only", content: "hello", act: pushes([], "hello"), calls: ["put", "sessions.complete"] },
  { name: "nothing", content: "", act: pushes([]), calls: ["put", "sessions.complete"] },
  {
    name: "several chunks whose blob is reaped before it is one",
    content: "hello world",
    own: reaped("reaped"),
    act: pushes(["hello ", "world"]),
    calls: ["sessions.complete", "copy", "blobs.discard"]
  },
  {
    name: "several chunks whose blob is reaped and deleted before it is one",
    content: "hello world",
    own: reaped("deleted"),
    act: pushes(["hello ", "world"]),
    calls: ["sessions.complete", "copy", "get", "put"]
  },
  {
    name: "several chunks that the store joins",
    content: "hello world",
    uploads: joining,
    act: pushes(["hel", "lo ", "world"]),
    calls: ["sessions.claim", "blobs.intend", "copy", "sessions.complete"]
  },
  {
    name: "several chunks that are read for their digest, and that the store joins",
    content: "hello world",
    algorithm: "sha512",
    uploads: joining,
    act: pushes(["hel", "lo ", "world"], undefined, "sha512"),
    calls: ["sessions.claim", "get", "blobs.intend", "copy", "sessions.complete"]
  },
  {
    name: "joined chunks whose blob is reaped before it is one",
    content: "hello world",
    uploads: joining,
    own: reaped("reaped"),
    act: pushes(["hello ", "world"]),
    calls: ["sessions.complete", "copy", "blobs.discard"]
  },
  {
    name: "joined chunks whose blob is reaped and deleted before it is one",
    content: "hello world",
    uploads: joining,
    own: reaped("deleted"),
    act: pushes(["hello ", "world"]),
    calls: ["sessions.complete", "copy"]
  },
  {
    name: "a last body that is reaped before it is a blob",
    content: "hello world",
    own: reaped("reaped"),
    act: pushes(["hello "], "world"),
    calls: ["sessions.complete", "copy", "blobs.discard"]
  },
  {
    name: "a session that is cancelled",
    content: "hello",
    act: (uploads, began) =>
      Effect.gen(function* () {
        const { id } = yield* uploads.start(repository)
        yield* uploads.append(repository, id, body("hello"), { startByte: 0 })
        yield* uploads.append(repository, id, body(" world"), { startByte: 5 })
        yield* uploads.cancel(repository, id)
        began({ id, repository, receivedBytes: 0 })
      }),
    calls: ["sessions.cancel"]
  },
  {
    name: "a whole blob",
    content: "hello",
    act: (uploads) => uploads.whole(repository, digestOf("hello"), body("hello"), 5),
    calls: ["blobs.intend", "put", "blobs.publish"]
  }
]

/** Runs the effect and lets time pass meanwhile, so that the lease of a dead replica ends. */
const inTime = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(effect)
  yield* settle
  while (fiber.pollUnsafe() === undefined) {
    yield* TestClock.withLive(Effect.sleep("1 millis"))
    yield* TestClock.adjust("1 second")
  }
  return yield* Fiber.join(fiber)
})

/**
 * Asks for the status, sends the rest, and closes the session. Starts a new one if the session does not
 * exist.
 */
const continues = Effect.fnUntraced(function* (
  uploads: Uploads["Service"],
  { algorithm, content }: Story,
  before: UploadStatus | null
) {
  const digest = digestOf(content, algorithm)
  const again = Effect.gen(function* () {
    const { id } = yield* uploads.start(repository)
    yield* uploads.append(repository, id, body(content), { startByte: 0 })
    return yield* uploads.finish(repository, id, { digest })
  })
  if (before === null) return yield* again
  const found = yield* Effect.option(uploads.status(repository, before.id))
  if (Option.isNone(found)) return yield* again
  const rest = content.slice(found.value.receivedBytes)
  const last = rest === "" ? {} : { body: body(rest), sizeBytes: rest.length }
  return yield* uploads.finish(repository, before.id, { digest, ...last })
})

const play = Effect.fnUntraced(function* (story: Story, client: Client, strike: Strike) {
  const found = yield* Stage
  const { blobs, replicas, scripts } = found
  scripts[0].rule(strike.rule(story.own?.(found)))
  let session: UploadStatus | null = null
  const act = story.act(replicas[0], (began) => {
    session = began
  })
  const exit = yield* Effect.result(killedWhen(act, strike.died))
  scripts[0].rule(() => undefined)
  yield* sound
  const isDone = Result.isSuccess(exit) && Result.isSuccess(exit.success)
  if (strike.isFaultless) assert.isTrue(isDone, `without faults: ${exit}`)
  const isCancelled = story.calls.includes("sessions.cancel")
  if (isDone && !isCancelled) {
    assert.isTrue(Option.isSome(yield* blobs.stat(digestOf(story.content, story.algorithm))))
  }
  if (client === "continues at the other replica") {
    yield* inTime(continues(replicas[1], story, session))
    yield* sound
    assert.strictEqual(yield* pulled(story.content, story.algorithm), story.content)
  }
  const isKept = (yield* isThere(story.content)) && client === "continues at the other replica"
  yield* cleansUp(...(isKept ? [story.content] : []))
})

/** The faults of a replica. Default: all stories with all clients. */
export const replicaFaults = (
  names: ReadonlyArray<string> = stories.map(({ name }) => name),
  chosen: ReadonlyArray<Client> = clients
): FaultTable<Story & { readonly client: Client }> => ({
  subject: "a replica",
  promise: "loses nothing and leaks nothing",
  stories: names.flatMap((wanted) => {
    const story = stories.find(({ name }) => name === wanted) ?? assert.fail(`There is no story "${wanted}"`)
    return chosen.map((client) => ({
      ...story,
      client,
      name: `upload of ${story.name}, whose client ${client} after a fault`
    }))
  }),
  play: (story, strike) =>
    Effect.provide(
      play(story, story.client, strike),
      Layer.merge(stageOf({ uploads: story.uploads ?? {} }), counted())
    )
})
