/** The contract of upload sessions, on any database and store. Every request is sent to the other replica. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Digest } from "../../../src/domain/Digest.ts"
import { holdId } from "../../../src/oci/Names.ts"
import type { Backend } from "../../fixtures/FaultTable.ts"
import {
  body,
  bytesOf,
  cancel,
  cleansUp,
  close,
  counted,
  digestOf,
  isThere,
  known,
  objects,
  open,
  pulled,
  push,
  pushed,
  refusal,
  repository,
  rows,
  Stage,
  sound,
  stage,
  status,
  type Traffic,
  untouched
} from "../../fixtures/oci/UploadStage.ts"

/** Registers the suite for one backend. */
export const uploadsContract = <E>(name: string, backend: Layer.Layer<Backend, E>): void => {
  const play = <A, E2>(test: Effect.Effect<A, E2, Stage>) =>
    test.pipe(
      Effect.tap(() => sound),
      Effect.provide(Layer.merge(stage(backend), counted())),
      Effect.scoped
    )
  describe(`an upload session on ${name}`, () => {
    appending(play)
    finishing(play)
    ending(play)
    inOneRequest(play)
  })
}

type Play = <A, E>(test: Effect.Effect<A, E, Stage>) => Effect.Effect<A, unknown>

const appending = (play: Play) => {
  it.effect("accepts a chunk at any replica, and returns where the next one begins", () =>
    play(
      Effect.gen(function* () {
        const session = yield* open()
        assert.strictEqual(session.receivedBytes, 0)
        assert.deepStrictEqual(yield* push(session, "hello "), { ...session, receivedBytes: 6 })
        assert.deepStrictEqual(yield* push({ ...session, receivedBytes: 6 }, "world"), {
          ...session,
          receivedBytes: 11
        })
        assert.deepStrictEqual(yield* status(session), { ...session, receivedBytes: 11 })
      })
    )
  )

  it.effect("stores its first chunk below the blobs and the others below its own folder", () =>
    play(
      Effect.gen(function* () {
        const { id } = yield* pushed("one", "two", "three")
        const found = yield* objects
        assert.lengthOf(found, 3)
        assert.lengthOf(
          found.filter((key) => key.startsWith("blobs/new/")),
          1
        )
        assert.lengthOf(
          found.filter((key) => key.startsWith(`uploads/${id}/`)),
          2
        )
      })
    )
  )

  it.effect("refuses a chunk that does not begin at its end, without reading it", () =>
    play(
      Effect.gen(function* () {
        const { either } = yield* Stage
        const { id } = yield* pushed("hello")
        for (const startByte of [0, 4, 6]) {
          const error = yield* Effect.flip(either.append(repository, id, untouched, { startByte }))
          assert.deepInclude(error, { _tag: "OffsetMismatch", startByte, receivedBytes: 5 })
        }
        assert.lengthOf(yield* objects, 1)
      })
    )
  )

  it.effect("does not exist for another repository, and neither does a session that was never started", () =>
    play(
      Effect.gen(function* () {
        const { either } = yield* Stage
        const { id } = yield* pushed("hello")
        const others = [
          ["library/other", id],
          [repository, "never"],
          [repository, "\u{1f44b} ' \\ %"]
        ] as const
        for (const [whose, which] of others) {
          const digest = digestOf("hello")
          assert.strictEqual(
            yield* refusal(either.append(whose, which, untouched, { startByte: 5 })),
            "UploadUnknown"
          )
          assert.strictEqual(yield* refusal(either.status(whose, which)), "UploadUnknown")
          assert.strictEqual(
            yield* refusal(either.finish(whose, which, { digest, body: untouched })),
            "UploadUnknown"
          )
          assert.strictEqual(yield* refusal(either.cancel(whose, which)), "UploadUnknown")
        }
        assert.isFalse(yield* isThere("hello"))
      })
    )
  )

  it.effect("ignores a chunk without bytes, however it is sent", () =>
    play(
      Effect.gen(function* () {
        const { either, traffic } = yield* Stage
        const session = yield* pushed("hello")
        const before = yield* rows
        const empty = [
          [Stream.empty, 0],
          [Stream.empty, undefined],
          [Stream.make(new Uint8Array(0), new Uint8Array(0)), undefined]
        ] as const
        for (const [nothing, sizeBytes] of empty) {
          const options = { startByte: 5, sizeBytes }
          assert.deepStrictEqual(yield* either.append(repository, session.id, nothing, options), session)
        }
        assert.strictEqual(traffic.puts, 1)
        const after = yield* rows
        assert.strictEqual(after.chunks.size, before.chunks.size)
        assert.strictEqual(after.intents.size, 0)
      })
    )
  )

  it.effect("is unchanged after a body that ends early, is too long, or fails", () =>
    play(
      Effect.gen(function* () {
        const { either } = yield* Stage
        const session = yield* pushed("hello")
        const fails = () => Stream.concat(body("wor"), Stream.fail({ _tag: "Gone" } as const))
        const bad = [
          [body("wor"), 5, "SizeMismatch"],
          [body("worlds"), 5, "SizeMismatch"],
          [body("world"), 0, "SizeMismatch"],
          [Stream.empty, 5, "SizeMismatch"],
          [fails(), 5, "Gone"],
          [fails(), undefined, "Gone"],
          [Stream.fail({ _tag: "Gone" } as const), undefined, "Gone"]
        ] as const
        for (const [stream, sizeBytes, tag] of bad) {
          const options = { startByte: 5, sizeBytes }
          assert.strictEqual(yield* refusal(either.append(repository, session.id, stream, options)), tag)
          assert.deepStrictEqual(yield* status(session), session)
        }
        assert.lengthOf(yield* objects, 1)
        const whole = yield* push(session, " world")
        yield* close(whole, "hello world")
        assert.strictEqual(yield* pulled("hello world"), "hello world")
        yield* cleansUp("hello world")
      })
    )
  )
}

/**
 * The traffic of a push. An only chunk is written once. Several chunks are written, read, and written once
 * more. The bytes of a closing request are written once.
 */
const trafficOf = (chunks: ReadonlyArray<string>, last: string): Traffic => {
  const staged = chunks.join("").length
  const isAdopted = chunks.length === 1 && last === ""
  return {
    writtenBytes: staged + (isAdopted ? 0 : staged + last.length),
    readBytes: isAdopted ? 0 : staged,
    puts: chunks.length + (isAdopted ? 0 : 1),
    gets: isAdopted ? 0 : chunks.length,
    copies: 0
  }
}

const finishing = (play: Play) => {
  const shapes: ReadonlyArray<readonly [string, ReadonlyArray<string>, string | null]> = [
    ["nothing at all", [], null],
    ["an empty body", [], ""],
    ["a body only", [], "hello world"],
    ["one chunk", ["hello world"], null],
    ["one chunk and an empty body", ["hello world"], ""],
    ["one chunk and a body", ["hello "], "world"],
    ["several chunks", ["he", "llo wor", "ld"], null],
    ["several chunks and a body", ["he", "llo"], " world"]
  ]
  for (const [name, chunks, last] of shapes) {
    for (const isSized of [true, false]) {
      if (last === null && !isSized) continue
      it.effect(`becomes the blob of its bytes: ${name}${isSized ? "" : " of unknown length"}`, () =>
        play(
          Effect.gen(function* () {
            const { traffic } = yield* Stage
            const content = chunks.join("") + (last ?? "")
            const session = yield* pushed(...chunks)
            const options =
              last === null ? {} : { body: body(last), sizeBytes: isSized ? last.length : undefined }
            const finished = yield* close(session, content, options)
            assert.deepStrictEqual(finished, { digest: digestOf(content), sizeBytes: content.length })
            assert.strictEqual(yield* pulled(content), content)
            yield* known
            assert.deepStrictEqual(traffic, trafficOf(chunks, last ?? ""))
            const { pins } = yield* rows
            assert.deepStrictEqual([...pins.keys()], [holdId(repository, digestOf(content))])
            yield* cleansUp(content)
          })
        )
      )

      it.effect(`is open as before if the bytes have another digest: ${name}, ${isSized}`, () =>
        play(
          Effect.gen(function* () {
            const session = yield* pushed(...chunks)
            const options =
              last === null ? {} : { body: body(last), sizeBytes: isSized ? last.length : undefined }
            const error = yield* Effect.flip(close(session, "something else", options))
            assert.deepInclude(error, {
              _tag: "DigestMismatch",
              declared: digestOf("something else"),
              actual: digestOf(chunks.join("") + (last ?? ""))
            })
            assert.isFalse(yield* isThere("something else"))
            assert.deepStrictEqual(yield* status(session), session)
            const more = yield* push(session, "!")
            yield* close(more, `${chunks.join("")}!`)
            assert.strictEqual(yield* pulled(`${chunks.join("")}!`), `${chunks.join("")}!`)
          })
        )
      )
    }
  }

  it.effect("is open as before after a last body that ends early, is too long, or fails", () =>
    play(
      Effect.gen(function* () {
        const session = yield* pushed("hello")
        const fails = () => Stream.concat(body(" wor"), Stream.fail({ _tag: "Gone" } as const))
        const bad = [
          [body(" wor"), 6, "SizeMismatch"],
          [body(" worlds"), 6, "SizeMismatch"],
          [body(" world"), 0, "SizeMismatch"],
          [undefined, 6, "SizeMismatch"],
          [body(" wor"), undefined, "DigestMismatch"],
          [fails(), 6, "Gone"],
          [fails(), undefined, "Gone"]
        ] as const
        for (const [last, sizeBytes, tag] of bad) {
          assert.strictEqual(yield* refusal(close(session, "hello world", { body: last, sizeBytes })), tag)
          assert.deepStrictEqual(yield* status(session), session)
        }
        yield* close(session, "hello world", { body: body(" world"), sizeBytes: 6 })
        yield* cleansUp("hello world")
      })
    )
  )

  it.effect("refuses a last body that does not begin at its end, without reading it", () =>
    play(
      Effect.gen(function* () {
        const session = yield* pushed("hello")
        const error = yield* Effect.flip(close(session, "hello world", { body: untouched, startByte: 4 }))
        assert.deepInclude(error, { _tag: "OffsetMismatch", startByte: 4, receivedBytes: 5 })
        assert.deepStrictEqual(yield* status(session), session)
        yield* close(session, "hello world", { body: body(" world"), startByte: 5 })
        assert.strictEqual(yield* pulled("hello world"), "hello world")
      })
    )
  )

  for (const digest of ["md5:abc", "sha256:ABC", "sha256:", "abc"]) {
    it.effect(`refuses a digest that cannot be checked, without reading: ${digest}`, () =>
      play(
        Effect.gen(function* () {
          const session = yield* pushed("hello")
          const options = { digest: Digest.make(digest), body: untouched }
          assert.strictEqual(yield* refusal(close(session, "", options)), "DigestUnsupported")
          assert.deepStrictEqual(yield* status(session), session)
        })
      )
    )
  }

  for (const [hashed, named] of [
    ["sha512", "sha512"],
    ["sha256", "sha512"],
    ["sha512", "sha256"]
  ] as const) {
    it.effect(`hashed by ${hashed} becomes a blob named by ${named}`, () =>
      play(
        Effect.gen(function* () {
          const { traffic } = yield* Stage
          const session = yield* push(yield* open(hashed), "hello world")
          const wrong = digestOf("something else", named)
          assert.strictEqual(yield* refusal(close(session, "", { digest: wrong })), "DigestMismatch")
          yield* close(session, "", { digest: digestOf("hello world", named) })
          assert.strictEqual(yield* pulled("hello world", named), "hello world")
          assert.strictEqual(traffic.writtenBytes, 11)
          assert.strictEqual(traffic.readBytes, hashed === named ? 0 : 22)
        })
      )
    )
  }

  it.effect("answers a repeated closing request again, without reading", () =>
    play(
      Effect.gen(function* () {
        for (const chunks of [["hello world"], ["hello ", "world"]]) {
          const session = yield* pushed(...chunks)
          const first = yield* close(session, "hello world")
          assert.deepStrictEqual(yield* close(session, "hello world"), first)
          assert.deepStrictEqual(yield* close(session, "hello world", { body: untouched }), first)
          assert.strictEqual(yield* refusal(close(session, "something else")), "UploadUnknown")
        }
        const bodyOnly = yield* open()
        const first = yield* close(bodyOnly, "hello again", { body: body("hello again") })
        assert.deepStrictEqual(yield* close(bodyOnly, "hello again", { body: untouched }), first)
        yield* cleansUp("hello world", "hello again")
      })
    )
  )

  it.effect("renews the hold for a repeated closing request", () =>
    play(
      Effect.gen(function* () {
        const { database } = yield* Stage
        const session = yield* pushed("hello world")
        yield* close(session, "hello world")
        const id = holdId(repository, digestOf("hello world"))
        yield* database.blobs.unpin([id])
        yield* close(session, "hello world")
        assert.deepStrictEqual([...(yield* rows).pins.keys()], [id])
      })
    )
  )

  it.effect("accepts no more chunks once it is done, and cannot be cancelled", () =>
    play(
      Effect.gen(function* () {
        const { either } = yield* Stage
        const session = yield* pushed("hello")
        yield* close(session, "hello")
        const error = yield* Effect.flip(either.append(repository, session.id, untouched, { startByte: 5 }))
        // Its offset would send the client here again, for ever.
        assert.strictEqual(error._tag, "UploadUnknown")
        assert.strictEqual(yield* refusal(either.status(repository, session.id)), "UploadUnknown")
        assert.strictEqual(yield* refusal(cancel(session)), "UploadUnknown")
        assert.strictEqual(yield* pulled("hello"), "hello")
      })
    )
  )

  it.effect("is verified although a blob of the digest is live, and adds no second object", () =>
    play(
      Effect.gen(function* () {
        yield* close(yield* pushed("hello world"), "hello world")
        for (const chunks of [["hello"], ["hel", "lo"], []]) {
          const impostor = yield* pushed(...chunks)
          assert.strictEqual(yield* refusal(close(impostor, "hello world")), "DigestMismatch")
          yield* cancel(impostor)
        }
        for (const chunks of [["hello world"], ["hello ", "world"]]) {
          const again = yield* pushed(...chunks)
          const finished = yield* close(again, "hello world")
          assert.deepStrictEqual(finished, { digest: digestOf("hello world"), sizeBytes: 11 })
        }
        yield* known
        yield* cleansUp("hello world")
      })
    )
  )
}

const ending = (play: Play) => {
  it.effect("that is cancelled no longer exists, and its bytes are deleted", () =>
    play(
      Effect.gen(function* () {
        const session = yield* pushed("one", "two", "three")
        yield* cancel(session)
        assert.strictEqual(yield* refusal(status(session)), "UploadUnknown")
        assert.strictEqual(yield* refusal(push(session, "four")), "UploadUnknown")
        assert.strictEqual(yield* refusal(close(session, "onetwothree")), "UploadUnknown")
        assert.strictEqual(yield* refusal(cancel(session)), "UploadUnknown")
        yield* known
        yield* cleansUp()
      })
    )
  )

  it.effect("that is idle for a day is expired, and its bytes are deleted", () =>
    play(
      Effect.gen(function* () {
        const { either } = yield* Stage
        const session = yield* pushed("one", "two")
        assert.strictEqual(yield* either.expire("1 hour", 100), 0)
        assert.strictEqual(yield* either.expire("0 seconds", 100), 1)
        assert.strictEqual(yield* refusal(push(session, "three")), "UploadUnknown")
        yield* cleansUp()
      })
    )
  )
}

const inOneRequest = (play: Play) => {
  it.effect("is not needed for a whole blob in one request", () =>
    play(
      Effect.gen(function* () {
        const { either, traffic } = yield* Stage
        for (const [content, algorithm] of [
          ["hello", "sha256"],
          ["hello", "sha512"],
          ["", "sha256"]
        ] as const) {
          const digest = digestOf(content, algorithm)
          const finished = yield* either.whole(repository, digest, body(content), content.length)
          assert.deepStrictEqual(finished, { digest, sizeBytes: content.length })
          assert.strictEqual(yield* pulled(content, algorithm), content)
          assert.isTrue((yield* rows).pins.has(holdId(repository, digest)))
        }
        assert.deepStrictEqual([traffic.writtenBytes, traffic.readBytes], [10, 0])
        yield* known
      })
    )
  )

  it.effect("gives no access to a whole blob to a client that only knows its digest", () =>
    play(
      Effect.gen(function* () {
        const { either } = yield* Stage
        yield* either.whole("library/other", digestOf("secret"), body("secret"))
        const claim = either.whole(repository, digestOf("secret"), body("guess"))
        assert.strictEqual(yield* refusal(claim), "DigestMismatch")
        const torn = either.whole(repository, digestOf("secret"), body("sec"), 6)
        assert.strictEqual(yield* refusal(torn), "SizeMismatch")
        assert.deepStrictEqual([...(yield* rows).pins.keys()], [holdId("library/other", digestOf("secret"))])
        yield* either.whole(repository, digestOf("secret"), Stream.make(bytesOf("secret")))
        assert.strictEqual((yield* rows).pins.size, 2)
        yield* cleansUp("secret")
      })
    )
  )
}
