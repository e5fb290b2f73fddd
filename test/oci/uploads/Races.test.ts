/**
 * Two requests of one session, on two replicas. The first is stopped before or after each of its calls to
 * database and store in turn, together with its process, until the second is answered. So every interleaving
 * of a whole request with a part of another is played.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import type { UploadStatus, Uploads } from "../../../src/oci/Uploads.ts"
import { hangsAfter, hangsBefore } from "../../../src/testing/Faults.ts"
import { memory } from "../../fixtures/FaultTable.ts"
import {
  body,
  cleansUp,
  close,
  counted,
  digestOf,
  hoursPass,
  isThere,
  pulled,
  pushed,
  repository,
  Stage,
  sound,
  stage,
  status,
  verdict
} from "../../fixtures/oci/UploadStage.ts"
import { settle } from "../../fixtures/World.ts"

type Request = (
  replica: Uploads["Service"],
  session: UploadStatus
) => Effect.Effect<unknown, { readonly _tag: string }, Stage>

const appends =
  (content: string): Request =>
  (replica, { id, receivedBytes }) =>
    replica.append(repository, id, body(content), { startByte: receivedBytes, sizeBytes: content.length })

const finishes =
  (content: string, last?: string): Request =>
  (replica, { id }) =>
    replica.finish(repository, id, {
      digest: digestOf(content),
      ...(last === undefined ? {} : { body: body(last), sizeBytes: last.length })
    })

const cancels: Request = (replica, { id }) => replica.cancel(repository, id)

/** Lets more than a day pass, with a sweep each hour. */
const sweeps: Request = () => Effect.orDie(hoursPass(26))

interface Race {
  readonly name: string
  /** The session's chunks before the race. */
  readonly chunks: ReadonlyArray<string>
  /** The request that is stopped. */
  readonly stopped: Request
  /** The request that runs meanwhile. */
  readonly meanwhile: Request
  /** Every possible pair of answers, as `stopped, meanwhile`. All of them must occur. */
  readonly answers: ReadonlyArray<string>
  /** The blobs that must exist afterwards. */
  readonly leaves: (
    answers: string,
    session: UploadStatus
  ) => Effect.Effect<ReadonlyArray<string>, unknown, Stage>
}

/** Continues the session after the race, and returns its content. */
const closedAs = Effect.fnUntraced(function* (session: UploadStatus, ...candidates: ReadonlyArray<string>) {
  for (const content of candidates) {
    if ((yield* verdict(close(session, content))) === "ok") return [content]
  }
  return yield* Effect.die(new Error("the session can be closed as nothing that it could be"))
})

const races: ReadonlyArray<Race> = [
  {
    name: "two chunks for one offset",
    chunks: [],
    stopped: appends("hello"),
    meanwhile: appends("HELLO!"),
    answers: ["OffsetMismatch, ok", "ok, OffsetMismatch"],
    leaves: (answers, session) => closedAs(session, answers.startsWith("ok") ? "hello" : "HELLO!")
  },
  {
    name: "two chunks for one offset after another chunk",
    chunks: ["hello "],
    stopped: appends("world"),
    meanwhile: appends("WORLD!"),
    answers: ["OffsetMismatch, ok", "ok, OffsetMismatch"],
    leaves: (answers, session) => closedAs(session, answers.startsWith("ok") ? "hello world" : "hello WORLD!")
  },
  {
    name: "a chunk, and the closing request without it",
    chunks: ["hello"],
    stopped: appends(" world"),
    meanwhile: finishes("hello"),
    answers: ["UploadUnknown, ok", "ok, DigestMismatch"],
    leaves: (answers, session) =>
      answers.startsWith("ok") ? closedAs(session, "hello world") : Effect.succeed(["hello"])
  },
  {
    name: "the closing request, and a chunk",
    chunks: ["hello"],
    stopped: finishes("hello"),
    meanwhile: appends(" world"),
    answers: ["DigestMismatch, ok", "ok, UploadBusy", "ok, UploadUnknown"],
    leaves: (answers, session) =>
      answers.startsWith("ok") ? Effect.succeed(["hello"]) : closedAs(session, "hello world")
  },
  {
    name: "the closing request with the last bytes, and the same bytes as a chunk",
    chunks: ["hello"],
    stopped: finishes("hello world", " world"),
    meanwhile: appends(" world"),
    answers: ["DigestMismatch, ok", "ok, UploadBusy", "ok, UploadUnknown"],
    leaves: (answers, session) =>
      answers.startsWith("ok") ? Effect.succeed(["hello world"]) : closedAs(session, "hello world")
  },
  ...[["hello"], ["hel", "lo"]].flatMap(
    (chunks): ReadonlyArray<Race> => [
      {
        name: `two closing requests, ${chunks.length} chunks`,
        chunks,
        stopped: finishes("hello"),
        meanwhile: finishes("hello"),
        // The request that is stopped loses its lease to the other.
        answers: ["ok, ok"],
        leaves: () => Effect.succeed(["hello"])
      },
      {
        name: `a closing request with a wrong digest, and the right one, ${chunks.length} chunks`,
        chunks,
        stopped: finishes("else"),
        meanwhile: finishes("hello"),
        answers: ["UploadUnknown, ok", "DigestMismatch, ok"],
        leaves: () => Effect.succeed(["hello"])
      },
      {
        name: `the closing request, and one with a wrong digest that takes it away, ${chunks.length} chunks`,
        chunks,
        stopped: finishes("hello"),
        meanwhile: finishes("else"),
        answers: ["UploadBusy, DigestMismatch", "ok, DigestMismatch", "ok, UploadUnknown"],
        leaves: (answers, session) =>
          answers.startsWith("ok") ? Effect.succeed(["hello"]) : closedAs(session, "hello")
      },
      {
        name: `two closing requests with last bodies of their own, ${chunks.length} chunks`,
        chunks,
        stopped: finishes("hello world", " world"),
        meanwhile: finishes("hello there", " there"),
        answers: ["UploadUnknown, ok", "ok, UploadUnknown"],
        leaves: (answers) => Effect.succeed([answers.startsWith("ok") ? "hello world" : "hello there"])
      },
      {
        name: `the closing request, and the end of the session, ${chunks.length} chunks`,
        chunks,
        stopped: finishes("hello"),
        meanwhile: cancels,
        answers: ["UploadUnknown, ok", "ok, UploadUnknown"],
        leaves: (answers) => Effect.succeed(answers.startsWith("ok") ? ["hello"] : [])
      },
      {
        name: `the end of the session, and the closing request, ${chunks.length} chunks`,
        chunks,
        stopped: cancels,
        meanwhile: finishes("hello"),
        answers: ["UploadUnknown, ok", "ok, UploadUnknown"],
        leaves: (answers) => Effect.succeed(answers.startsWith("ok") ? [] : ["hello"])
      },
      {
        name: `a closing request that is stopped for a day, ${chunks.length} chunks`,
        chunks,
        stopped: finishes("hello"),
        meanwhile: sweeps,
        answers: ["UploadUnknown, ok", "ok, ok"],
        // A blob that is answered a day late may have been deleted, because nothing referred to it.
        leaves: () => Effect.succeed([])
      }
    ]
  ),
  {
    name: "a chunk, and the cancellation of the session",
    chunks: ["hello"],
    stopped: appends(" world"),
    meanwhile: cancels,
    answers: ["UploadUnknown, ok", "ok, ok"],
    leaves: () => Effect.succeed([])
  },
  {
    name: "a chunk that is stopped for a day",
    chunks: ["hello"],
    stopped: appends(" world"),
    meanwhile: sweeps,
    answers: ["UploadUnknown, ok", "ok, ok"],
    leaves: () => Effect.succeed([])
  }
]

/** Runs `effect` while virtual time passes, ten seconds at a time. */
const inTime = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(effect)
  yield* settle
  for (let n = 0; n < 60 && fiber.pollUnsafe() === undefined; n++) yield* TestClock.adjust("10 seconds")
  return yield* Fiber.join(fiber)
})

/**
 * Plays the race with the first request stopped at its `index`-th call. Returns null if it makes fewer calls.
 */
const play = Effect.fnUntraced(function* (race: Race, index: number, when: "before" | "after") {
  const { replicas, scripts } = yield* Stage
  const session = yield* pushed(...race.chunks)
  const [isStopped, resumed] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  let calls = 0
  scripts[0].rule(() => {
    calls += 1
    if (calls <= index) return undefined
    // The whole process is stopped, its renewals as well.
    const still = Effect.andThen(Deferred.succeed(isStopped, undefined), Deferred.await(resumed))
    return when === "before" || calls > index + 1 ? hangsBefore(still) : hangsAfter(still)
  })
  const first = yield* Effect.forkChild(verdict(race.stopped(replicas[0], session)))
  const comes = Effect.raceFirst(
    Effect.as(Deferred.await(isStopped), true),
    Effect.as(Fiber.await(first), false)
  )
  if (!(yield* comes)) {
    yield* Fiber.join(first)
    return null
  }
  const second = yield* inTime(verdict(race.meanwhile(replicas[1], session)))
  yield* sound
  yield* Deferred.succeed(resumed, undefined)
  scripts[0].rule(() => undefined)
  const answers = `${yield* inTime(Fiber.join(first))}, ${second}`
  yield* sound
  const kept = yield* race.leaves(answers, session)
  for (const content of kept) {
    assert.isTrue(yield* isThere(content))
    assert.strictEqual(yield* pulled(content), content)
  }
  if (answers.includes("UploadUnknown") && race.meanwhile === cancels && answers.endsWith("ok")) {
    assert.strictEqual(yield* verdict(status(session)), "UploadUnknown")
  }
  yield* cleansUp(...kept)
  return answers
})

describe("two requests at once, the first stopped at each of its steps:", () => {
  for (const race of races) {
    it.effect(
      race.name,
      () =>
        Effect.gen(function* () {
          const seen = new Set<string>()
          const at: Array<string> = []
          for (let index = 0; ; index++) {
            let isOver = false
            for (const when of ["before", "after"] as const) {
              const world = Layer.merge(stage(memory), counted())
              const answers = yield* play(race, index, when).pipe(Effect.provide(world), Effect.scoped)
              if (answers === null) isOver = true
              else {
                seen.add(answers)
                at.push(`${index} ${when}: ${answers}`)
              }
            }
            if (isOver) break
          }
          assert.deepStrictEqual([...seen].sort(), [...race.answers].sort(), at.join("\n"))
        }),
      60_000
    )
  }
})
