/** Closing requests whose answer was lost, and repeated ones: which answers they get. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { fails, lands } from "../../../src/testing/Faults.ts"
import { memory } from "../../fixtures/FaultTable.ts"
import {
  body,
  cleansUp,
  close,
  counted,
  digestOf,
  isThere,
  pushed,
  refusal,
  repository,
  rows,
  Stage,
  stage,
  status,
  swept
} from "../../fixtures/oci/UploadStage.ts"

const play = <A, E>(test: Effect.Effect<A, E, Stage>) =>
  test.pipe(Effect.provide(Layer.merge(stage(memory), counted())), Effect.scoped)

const finish = Effect.fnUntraced(function* (session: { readonly id: string }, content: string) {
  const { replicas } = yield* Stage
  return yield* replicas[0].finish(repository, session.id, { digest: digestOf(content) })
})

describe("a closing request", () => {
  for (const chunks of [["hello"], ["hel", "lo"]]) {
    it.effect(`of ${chunks.length} chunks succeeds although the database's answer was lost`, () =>
      play(
        Effect.gen(function* () {
          const { scripts } = yield* Stage
          const session = yield* pushed(...chunks)
          scripts[0].database.next("sessions.complete", lands("Unavailable"))
          assert.deepStrictEqual(yield* finish(session, "hello"), {
            digest: digestOf("hello"),
            sizeBytes: 5
          })
          yield* cleansUp("hello")
        })
      )
    )

    it.effect(`of ${chunks.length} chunks fails with the database's error, and may be repeated at once`, () =>
      play(
        Effect.gen(function* () {
          const { scripts } = yield* Stage
          const session = yield* pushed(...chunks)
          for (const verb of ["sessions.claim", "sessions.complete"] as const) {
            scripts[0].database.next(verb, fails("Unavailable"))
            assert.strictEqual(yield* refusal(finish(session, "hello")), "DatabaseError")
            assert.deepStrictEqual(yield* status(session), session)
          }
          scripts[0].database.next("sessions.claim", lands("Unavailable"))
          assert.strictEqual(yield* refusal(finish(session, "hello")), "DatabaseError")
          // No time has passed, so the lease that it may have taken was released.
          yield* close(session, "hello")
          yield* cleansUp("hello")
        })
      )
    )
  }

  it.effect("fails with the store's error, and may be repeated at once", () =>
    play(
      Effect.gen(function* () {
        const { replicas, scripts } = yield* Stage
        const session = yield* pushed("hel", "lo")
        for (const verb of ["get", "put"] as const) {
          scripts[0].storage.next(verb, fails("NotFound"))
          assert.strictEqual(yield* refusal(finish(session, "hello")), "StorageError")
          assert.deepStrictEqual(yield* status(session), session)
        }
        scripts[0].storage.next("put", fails("Unavailable"))
        const options = { digest: digestOf("hello world"), body: body(" world") }
        const failed = replicas[0].finish(repository, session.id, options)
        assert.strictEqual(yield* refusal(failed), "StorageError")
        yield* close(session, "hello")
        yield* cleansUp("hello")
      })
    )
  )

  it.effect(
    "that is repeated with another digest gives no hold on that blob, which may be another client's secret",
    () =>
      play(
        Effect.gen(function* () {
          const { either } = yield* Stage
          yield* either.whole("library/other", digestOf("secret"), body("secret"))
          const session = yield* pushed("hello")
          yield* close(session, "hello")
          assert.strictEqual(yield* refusal(close(session, "secret")), "UploadUnknown")
          assert.strictEqual((yield* rows).pins.size, 2)
        })
      )
  )

  it.effect("that is repeated after the blob was deleted fails with `UploadUnknown`", () =>
    play(
      Effect.gen(function* () {
        const { database } = yield* Stage
        const session = yield* pushed("hello")
        yield* close(session, "hello")
        yield* database.blobs.unpin([...(yield* rows).pins.keys()])
        for (let n = 0; n < 4; n++) {
          yield* TestClock.adjust("2 hours")
          yield* swept
        }
        assert.isFalse(yield* isThere("hello"))
        assert.strictEqual((yield* rows).sessions.size, 1)
        assert.strictEqual(yield* refusal(close(session, "hello")), "UploadUnknown")
        yield* cleansUp()
      })
    )
  )
})
