/** Pushes that take longer than any lease or grace, and pushes that stall. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { fails, hangsBefore } from "../../../src/testing/Faults.ts"
import { memory } from "../../fixtures/FaultTable.ts"
import {
  body,
  bytesOf,
  cleansUp,
  close,
  counted,
  digestOf,
  hoursPass,
  objects,
  open,
  pulled,
  pushed,
  refusal,
  repository,
  rows,
  Stage,
  type StageOptions,
  stage,
  status,
  untouched,
  verdict
} from "../../fixtures/oci/UploadStage.ts"
import { settle } from "../../fixtures/World.ts"

const play = <A, E>(test: Effect.Effect<A, E, Stage>, options: StageOptions = {}) =>
  test.pipe(Effect.provide(Layer.merge(stage(memory, options), counted())), Effect.scoped)

/** Streams `content`, a byte every `pause`. */
const slowly = (content: string, pause: Duration.Input) =>
  Stream.fromIterable(content).pipe(
    Stream.rechunk(1),
    Stream.mapEffect((letter) => Effect.as(Effect.sleep(pause), bytesOf(letter)))
  )

/** Runs `effect` for as many hours as it takes, with a sweep at the end of each. */
const forHours = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>, most = 200) {
  const fiber = yield* Effect.forkChild(effect)
  yield* settle
  let hours = 0
  while (fiber.pollUnsafe() === undefined && hours++ < most) yield* hoursPass(1)
  return { hours, answer: yield* Fiber.join(fiber) }
})

const two = "hello world, slowly, for days and days"

describe("a chunk that takes days", () => {
  const sends = Effect.gen(function* () {
    const { replicas } = yield* Stage
    const session = yield* pushed("one ")
    const append = replicas[0].append(repository, session.id, slowly(two, "55 minutes"), { startByte: 4 })
    return { session, ...(yield* forHours(verdict(append))) }
  })

  it.effect("is accepted, because its session and its intent are renewed while bytes arrive", () =>
    play(
      Effect.gen(function* () {
        const { answer, hours, session } = yield* sends
        assert.strictEqual(answer, "ok")
        assert.isAbove(hours, 30)
        yield* close(session, `one ${two}`)
        assert.strictEqual(yield* pulled(`one ${two}`), `one ${two}`)
        yield* cleansUp(`one ${two}`)
      }),
      // The body stalls for less than a third of the lease.
      { uploads: { uploadLease: Duration.hours(3) } }
    )
  )

  it.effect("control: without recorded activity its session is expired, and the request fails", () =>
    play(
      Effect.gen(function* () {
        const { scripts } = yield* Stage
        scripts[0].rule(({ operation }) =>
          operation === "sessions.touch" ? fails("Unavailable") : undefined
        )
        const { answer } = yield* sends
        assert.strictEqual(answer, "UploadUnknown")
        scripts[0].rule(() => undefined)
        yield* cleansUp()
      }),
      { uploads: { uploadLease: Duration.hours(3) } }
    )
  )

  it.effect("control: without renewals its intent is reaped, and it must be sent again", () =>
    play(
      Effect.gen(function* () {
        const { scripts } = yield* Stage
        scripts[0].rule(({ operation }) => (operation === "blobs.renew" ? fails("Unavailable") : undefined))
        const { answer, session } = yield* sends
        assert.strictEqual(answer, "UploadExpired")
        assert.deepStrictEqual(yield* status(session), session)
        scripts[0].rule(() => undefined)
        yield* cleansUp()
      }),
      { uploads: { uploadLease: Duration.hours(3) } }
    )
  )
})

describe("a session's activity", () => {
  it.effect("is recorded at most once a minute, however fast bytes arrive", () =>
    play(
      Effect.gen(function* () {
        const { replicas, scripts } = yield* Stage
        const session = yield* open()
        const content = "x".repeat(600)
        const append = replicas[0].append(repository, session.id, slowly(content, "1 second"), {
          startByte: 0
        })
        const fiber = yield* Effect.forkChild(append)
        yield* settle
        for (let n = 0; n < 601; n++) yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
        const touches = scripts[0].database.count("sessions.touch")
        assert.isAtLeast(touches, 9)
        assert.isAtMost(touches, 10)
      })
    )
  )

  it.effect("is recorded while the store is busy with the last bytes", () =>
    play(
      Effect.gen(function* () {
        const { replicas, scripts } = yield* Stage
        const session = yield* pushed("one ")
        scripts[0].storage.next("put", hangsBefore(Effect.sleep("30 hours")))
        const append = replicas[0].append(repository, session.id, body("two"), { startByte: 4 })
        assert.strictEqual((yield* forHours(verdict(append))).answer, "ok")
        yield* close(session, "one two")
        yield* cleansUp("one two")
      })
    )
  )

  it.effect("is recorded before a chunk that begins late is read", () =>
    play(
      Effect.gen(function* () {
        const { replicas } = yield* Stage
        const session = yield* pushed("one ")
        yield* hoursPass(23)
        const append = replicas[0].append(repository, session.id, slowly("two", "40 minutes"), {
          startByte: 4
        })
        assert.strictEqual((yield* forHours(verdict(append))).answer, "ok")
        yield* close(session, "one two")
        yield* cleansUp("one two")
      })
    )
  )

  it.effect("is not recorded while a body stalls, so that a disconnected client does not leak", () =>
    play(
      Effect.gen(function* () {
        const { replicas } = yield* Stage
        const session = yield* pushed("one ")
        const stuck = [Stream.concat(body("tw"), Stream.never), Stream.never as Stream.Stream<Uint8Array>]
        const options = { startByte: 4 }
        const fibers = yield* Effect.forEach(stuck, (still) =>
          Effect.forkChild(verdict(replicas[0].append(repository, session.id, still, options)))
        )
        yield* settle
        yield* hoursPass(26)
        assert.strictEqual(yield* refusal(status(session)), "UploadUnknown")
        assert.deepStrictEqual(yield* objects, [])
        yield* Effect.forEach(fibers, (fiber) => Fiber.interrupt(fiber))
        yield* cleansUp()
      })
    )
  )

  it.effect("that has ended ends the request whose body still arrives", () =>
    play(
      Effect.gen(function* () {
        const { replicas } = yield* Stage
        const session = yield* pushed("one ")
        const endless = slowly("x".repeat(1000), "10 minutes")
        const append = replicas[0].append(repository, session.id, endless, { startByte: 4 })
        const fiber = yield* Effect.forkChild(verdict(append))
        yield* settle
        yield* hoursPass(1)
        yield* replicas[1].cancel(repository, session.id)
        yield* hoursPass(1)
        assert.isDefined(fiber.pollUnsafe())
        assert.strictEqual(yield* Fiber.join(fiber), "UploadUnknown")
        yield* cleansUp()
      })
    )
  )
})

describe("a closing request that takes days", () => {
  const finishes = Effect.gen(function* () {
    const { replicas } = yield* Stage
    const session = yield* pushed("one ", "two ")
    const content = `one two ${two}`
    const finish = replicas[0].finish(repository, session.id, {
      digest: digestOf(content),
      body: slowly(two, "55 minutes")
    })
    return { content, session, ...(yield* forHours(verdict(finish))) }
  })
  const options: StageOptions = {
    uploads: { uploadLease: Duration.hours(3), finishLease: Duration.hours(3) }
  }

  it.effect("succeeds, because its lease is renewed while bytes arrive", () =>
    play(
      Effect.gen(function* () {
        const { answer, content, hours } = yield* finishes
        assert.strictEqual(answer, "ok")
        assert.isAbove(hours, 30)
        yield* cleansUp(content)
      }),
      options
    )
  )

  it.effect("control: without renewals its session is expired, and the request fails", () =>
    play(
      Effect.gen(function* () {
        const { scripts } = yield* Stage
        scripts[0].rule(({ operation }) =>
          operation === "sessions.renewClaim" ? fails("Unavailable") : undefined
        )
        const { answer } = yield* finishes
        assert.strictEqual(answer, "UploadUnknown")
        scripts[0].rule(() => undefined)
        yield* cleansUp()
      }),
      options
    )
  )

  it.effect("loses its lease when its body stalls, and stops its work when it notices", () =>
    play(
      Effect.gen(function* () {
        const { replicas, store } = yield* Stage
        const session = yield* pushed("one ", "two ")
        const resumes = yield* Deferred.make<void>()
        const still = Stream.concat(
          body("thr"),
          Stream.concat(
            Stream.drain(Stream.fromEffect(Deferred.await(resumes))),
            Stream.concat(slowly("ee", "6 seconds"), untouched)
          )
        )
        const first = yield* Effect.forkChild(
          verdict(replicas[0].finish(repository, session.id, { digest: digestOf("never"), body: still }))
        )
        yield* settle
        yield* TestClock.adjust("1 minute")
        const content = "one two "
        yield* replicas[1].finish(repository, session.id, { digest: digestOf(content) })
        yield* Deferred.succeed(resumes, undefined)
        yield* TestClock.adjust("10 seconds")
        // The body would have failed at its end.
        assert.strictEqual(yield* Fiber.join(first), "UploadUnknown")
        assert.isAbove((yield* Stream.runCollect(store.list("blobs/"))).flat().length, 0)
        yield* cleansUp(content)
      })
    )
  )
})

describe("a client that closes a session that another replica is closing", () => {
  /** The other request is stopped, with its lease, until the test lets it continue. */
  const closing = Effect.gen(function* () {
    const { replicas, scripts } = yield* Stage
    const session = yield* pushed("hello")
    const resumed = yield* Deferred.make<void>()
    scripts[0].database.next("sessions.complete", hangsBefore(Deferred.await(resumed)))
    const first = yield* Effect.forkChild(
      verdict(replicas[0].finish(repository, session.id, { digest: digestOf("hello") }))
    )
    yield* settle
    const second = yield* Effect.forkChild(
      verdict(replicas[1].finish(repository, session.id, { digest: digestOf("hello") }))
    )
    yield* settle
    return { session, first, second, resumed }
  })

  it.effect("waits for the other replica's answer", () =>
    play(
      Effect.gen(function* () {
        const { first, resumed, second } = yield* closing
        yield* TestClock.adjust("20 seconds")
        assert.isUndefined(second.pollUnsafe())
        yield* Deferred.succeed(resumed, undefined)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["ok", "ok"])
        yield* cleansUp("hello")
      })
    )
  )

  it.effect("is told so at once if another request waits there already", () =>
    play(
      Effect.gen(function* () {
        const { replicas } = yield* Stage
        const { resumed, second, session } = yield* closing
        const digest = digestOf("hello")
        assert.strictEqual(
          yield* verdict(replicas[1].finish(repository, session.id, { digest })),
          "UploadBusy"
        )
        yield* Deferred.succeed(resumed, undefined)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(second), "ok")
      })
    )
  )

  it.effect("gets `UploadBusy` if that takes too long, and may repeat the request", () =>
    play(
      Effect.gen(function* () {
        const { first, resumed, second, session } = yield* closing
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* Fiber.join(second), "UploadBusy")
        yield* Deferred.succeed(resumed, undefined)
        assert.strictEqual(yield* Fiber.join(first), "ok")
        yield* close(session, "hello")
        yield* cleansUp("hello")
      })
    )
  )

  it.effect("takes over within its wait if the other replica is dead", () =>
    play(
      Effect.gen(function* () {
        const { scripts } = yield* Stage
        const { first, second } = yield* closing
        // Its process is killed, so nothing releases the lease.
        scripts[0].rule(() => hangsBefore(Effect.never))
        yield* TestClock.adjust("19 seconds")
        assert.isUndefined(second.pollUnsafe())
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* Fiber.join(second), "ok")
        assert.isUndefined(first.pollUnsafe())
        yield* cleansUp("hello")
        scripts[0].rule(() => undefined)
      })
    )
  )

  it.effect("gets the session at once if the other request is interrupted, which releases the lease", () =>
    play(
      Effect.gen(function* () {
        const { first, second } = yield* closing
        yield* Fiber.interrupt(first)
        assert.strictEqual((yield* rows).sessions.size, 1)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(second), "ok")
        yield* cleansUp("hello")
      })
    )
  )
})

describe("sessions of several chunks that are closed", () => {
  it.effect("are bounded, and sessions of one chunk do not wait for them", () =>
    play(
      Effect.gen(function* () {
        const { replicas, scripts } = yield* Stage
        const [uploads] = replicas
        const several = Effect.gen(function* () {
          const session = yield* open()
          yield* uploads.append(repository, session.id, body("a"), { startByte: 0 })
          yield* uploads.append(repository, session.id, body("b"), { startByte: 1 })
          return session
        })
        const closing = ({ id }: { readonly id: string }) =>
          Effect.forkChild(verdict(uploads.finish(repository, id, { digest: digestOf("ab") })), {
            startImmediately: true
          })
        const sessions = [yield* several, yield* several] as const
        const resumed = yield* Deferred.make<void>()
        scripts[0].storage.next("put", hangsBefore(Deferred.await(resumed)))
        const first = yield* closing(sessions[0])
        yield* settle
        const second = yield* closing(sessions[1])
        yield* settle
        const one = yield* pushed("hello")
        yield* close(one, "hello")
        assert.deepStrictEqual([first.pollUnsafe(), second.pollUnsafe()], [undefined, undefined])
        yield* Deferred.succeed(resumed, undefined)
        assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["ok", "ok"])
      }),
      { uploads: { assembliesMax: 1 } }
    )
  )
})
