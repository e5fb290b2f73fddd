/**
 * Every call that a replica makes, to the database and to the store, fails once, or fails and takes effect, or is the
 * last thing that its process does. After each, the client goes on with the other replica and gets its blob, or goes
 * away; when everybody has gone, exactly what is referenced is left, and in the end nothing.
 *
 * The calls are found by recording each story without faults, so that a new call is in the table by itself.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, Layer, Option, Result } from "effect"
import { TestClock } from "effect/testing"
import type { Algorithm } from "../../../src/domain/Digest.ts"
import type { UploadStatus, Uploads } from "../../../src/oci/Uploads.ts"
import { fails, hangsAfter, hangsBefore, lands } from "../../../src/testing/Faults.ts"
import {
  type AnyFault,
  type Backend,
  body,
  cleansUp,
  counted,
  digestOf,
  isThere,
  pulled,
  type Rule,
  repository,
  Stage,
  sound,
  stage
} from "../../fixtures/oci/UploadStage.ts"
import { killedWhen, settle } from "../../fixtures/World.ts"

type Push = Effect.Effect<unknown, { readonly _tag: string }, Stage>
type Faults = Record<string, (died: Deferred.Deferred<void>) => AnyFault>

interface Story {
  readonly name: string
  readonly content: string
  readonly algorithm?: Algorithm
  /** What happens to the replica by itself. */
  readonly own?: (stage: Stage["Service"]) => Rule
  /** What the client does; it tells about its session. */
  readonly act: (uploads: Uploads["Service"], began: (session: UploadStatus) => void) => Push
  /** Calls that the story must make, or it is not the story that it says. */
  readonly calls: ReadonlyArray<string>
}

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

/** Reaps whatever is announced when the replica first comes to complete; with its object, or before it is deleted. */
const reapedOnce =
  (how: "reaped" | "deleted") =>
  (stage: Stage["Service"]): Rule => {
    let isFirst = true
    const reap = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      yield* stage.database.journal.reapIntents(now + 365 * 86_400_000, now, 100)
      if (how === "deleted") yield* stage.sweep
    }).pipe(Effect.orDie)
    return ({ operation }) => {
      if (operation !== "sessions.complete" || !isFirst) return undefined
      isFirst = false
      return hangsBefore(reap)
    }
  }

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
    own: reapedOnce("reaped"),
    act: pushes(["hello ", "world"]),
    calls: ["sessions.complete", "copy", "blobs.discard"]
  },
  {
    name: "several chunks whose blob is reaped and deleted before it is one",
    content: "hello world",
    own: reapedOnce("deleted"),
    act: pushes(["hello ", "world"]),
    calls: ["sessions.complete", "copy", "get", "put"]
  },
  {
    name: "a last body that is reaped before it is a blob",
    content: "hello world",
    own: reapedOnce("reaped"),
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

/** What becomes of the struck call where its effect is what matters. `died` ends the process. */
export const effectiveFaults: Faults = {
  "times out and takes effect": () => lands("Unavailable"),
  "takes effect, and its process dies": (died) =>
    hangsAfter(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
}

/** For stores and databases on the virtual clock. */
export const allFaults: Faults = {
  ...effectiveFaults,
  fails: () => fails("Unavailable"),
  "times out and takes effect ten minutes later": () => lands("Unavailable", "10 minutes"),
  "is not reached, because its process dies": (died) =>
    hangsBefore(Effect.andThen(Deferred.succeed(died, undefined), Effect.never))
}

/** Lets the lease of a dead replica end. */
const inTime = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(effect)
  yield* settle
  while (fiber.pollUnsafe() === undefined) {
    yield* TestClock.withLive(Effect.sleep("1 millis"))
    yield* TestClock.adjust("1 second")
  }
  return yield* Fiber.join(fiber)
})

/** A client that asks how far it came, sends the rest, and closes; from the start where nobody knows of it. */
const goesOn = Effect.fnUntraced(function* (
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

/** Plays `story` with a fault in its `index`-th call; the operations that were called. */
const play = Effect.fnUntraced(function* (
  story: Story,
  index: number,
  fault: (died: Deferred.Deferred<void>) => AnyFault,
  client: "goes on" | "goes away"
) {
  const found = yield* Stage
  const { blobs, replicas, scripts } = found
  const died = yield* Deferred.make<void>()
  const own = story.own?.(found) ?? (() => undefined)
  const calls: Array<string> = []
  scripts[0].rule((call) => {
    calls.push(call.operation)
    return calls.length - 1 === index ? fault(died) : own(call)
  })
  let session: UploadStatus | null = null
  const act = story.act(replicas[0], (began) => {
    session = began
  })
  const exit = yield* Effect.result(killedWhen(act, Deferred.await(died)))
  scripts[0].rule(() => undefined)
  yield* sound
  const isDone = Result.isSuccess(exit) && Result.isSuccess(exit.success)
  if (index < 0) assert.isTrue(isDone, `without faults: ${exit}`)
  const isCancelled = story.calls.includes("sessions.cancel")
  if (isDone && !isCancelled) {
    assert.isTrue(Option.isSome(yield* blobs.stat(digestOf(story.content, story.algorithm))))
  }
  if (client === "goes on") {
    yield* inTime(goesOn(replicas[1], story, session))
    yield* sound
    assert.strictEqual(yield* pulled(story.content, story.algorithm), story.content)
  }
  const isKept = (yield* isThere(story.content)) && client === "goes on"
  yield* cleansUp(...(isKept ? [story.content] : []))
  return calls
})

const clients = ["goes on", "goes away"] as const

export interface TableOptions {
  readonly faults: Faults
  /** Names of stories. Default all. */
  readonly stories?: ReadonlyArray<string>
  readonly clients?: ReadonlyArray<(typeof clients)[number]>
  readonly timeout?: number
}

/** Registers the table for one backend. */
export const faultTable = <E>(
  name: string,
  backend: Layer.Layer<Backend, E>,
  options: TableOptions
): void => {
  const chosen = stories.filter((story) => options.stories?.includes(story.name) ?? true)
  assert.isAtLeast(chosen.length, options.stories?.length ?? 1, "every story is known")
  describe(`on ${name}, a replica of which one call`, () => {
    for (const [what, fault] of Object.entries(options.faults)) {
      for (const story of chosen) {
        for (const client of options.clients ?? clients) {
          it.effect(
            `${what} loses nothing and leaks nothing, and its client ${client}: ${story.name}`,
            () =>
              Effect.gen(function* () {
                const played = (index: number) =>
                  play(story, index, fault, client).pipe(
                    Effect.provide(Layer.merge(stage(backend), counted())),
                    Effect.scoped,
                    Effect.catchCause((cause) =>
                      Effect.die(new Error(`${story.name}, call ${index}`, { cause }))
                    )
                  )
                const calls = yield* played(-1)
                for (const call of story.calls) assert.include(calls, call)
                for (let index = 0; index < calls.length; index++) yield* played(index)
              }),
            options.timeout ?? 60_000
          )
        }
      }
    }
  })
}
