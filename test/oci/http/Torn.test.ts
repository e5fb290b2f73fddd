/**
 * A client that disconnects in the middle of a body must not have stored a part of it. Two mechanisms prevent
 * that: the request is interrupted, and its body fails. These tests show that each of them suffices.
 */
import { constants, createServer as createHttp2Server } from "node:http2"
import { assert, describe, it } from "@effect/vitest"
import { type Context, Deferred, Effect, Exit, Layer, Stream } from "effect"
import * as Routes from "../../../src/oci/http/Routes.ts"
import type { Repositories } from "../../../src/oci/Repositories.ts"
import { Uploads } from "../../../src/oci/Uploads.ts"
import { ask, type Line, line, mounted, site } from "../../fixtures/oci/Site.ts"
import { begin, digestOf, Stored, services, withDigest } from "../../fixtures/oci/Stored.ts"

interface Watched {
  readonly began: Deferred.Deferred<void>
  readonly ended: Deferred.Deferred<Exit.Exit<unknown, unknown>>
}

/**
 * Watches the first body that is read and the end of its request. A `shielded` request cannot be interrupted.
 */
const watching = (watched: Watched, isShielded: boolean) => {
  const shield = isShielded ? Effect.uninterruptible : <A>(effect: A) => effect
  const seen = <E, R>(body: Stream.Stream<Uint8Array, E, R>) =>
    Stream.tap(body, () => Deferred.succeed(watched.began, undefined))
  const watch = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.onExit(shield(effect), (exit) => Deferred.succeed(watched.ended, exit))
  return Layer.effect(
    Uploads,
    Effect.map(Uploads, (uploads) =>
      Uploads.of({
        ...uploads,
        append: (repository, id, body, options) => watch(uploads.append(repository, id, seen(body), options)),
        finish: (repository, id, options) =>
          watch(
            uploads.finish(
              repository,
              id,
              options.body === undefined ? options : { ...options, body: seen(options.body) }
            )
          ),
        whole: (repository, digest, body, sizeBytes) =>
          watch(uploads.whole(repository, digest, seen(body), sizeBytes))
      })
    )
  )
}

/** Starts a body, disconnects once a part of it was read, and returns how the request ended. */
const torn = (
  request: (location: string) => readonly [method: string, path: string],
  framing: (typeof framings)[number],
  leave: (line: Line) => void,
  isShielded: boolean
) =>
  Effect.gen(function* () {
    const watched = {
      began: Deferred.makeUnsafe<void>(),
      ended: Deferred.makeUnsafe<Exit.Exit<unknown, unknown>>()
    }
    return yield* Effect.gen(function* () {
      const location = yield* begin("a/b")
      const client = yield* line()
      const [method, path] = request(location)
      yield* client.send(`${method} ${path} HTTP/1.1\r\nHost: x\r\n${framing.header}\r\n\r\n${framing.bytes}`)
      yield* Deferred.await(watched.began)
      leave(client)
      const exit = yield* Deferred.await(watched.ended)
      assert.isTrue(Exit.isFailure(exit))
      const { state, bucket } = yield* Stored
      assert.deepStrictEqual([state.chunks.size, state.blobs.size, bucket.objects.size], [0, 0, 0])
      assert.strictEqual((yield* ask(location)).headers.get("range"), "0-0")
      assert.deepStrictEqual(
        [...state.sessions.values()].map((session) => session.state),
        ["open"]
      )
      // The session accepts the whole body afterwards.
      const patch = yield* ask(location, { method: "PATCH", body: "hello" })
      assert.deepStrictEqual([patch.status, patch.headers.get("range")], [202, "0-4"])
    }).pipe(
      Effect.scoped,
      Effect.provide(
        site().pipe(Layer.provide(watching(watched, isShielded)), Layer.provideMerge(services()))
      )
    )
  })

const overHttp2 = Layer.unwrap(
  Effect.contextWith((context: Context.Context<Uploads | Repositories>) =>
    Effect.succeed(
      mounted(Layer.provide(Routes.layer(), Layer.succeedContext(context)), () => createHttp2Server())
    )
  )
)

const resets = [
  ["an error", constants.NGHTTP2_CANCEL],
  ["none", constants.NGHTTP2_NO_ERROR]
] as const

/** RFC 9113, sections 4.1 and 6. Node's own client ends a body before it resets it. */
const frames = { data: 0, headers: 1, reset: 3, settings: 4 }
const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

/** RFC 7541, section 6.2.2: a header that is in no table. */
const literal = ([name, value]: readonly [string, string]): Buffer =>
  Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value)
  ])

const framings = [
  { name: "of declared length", header: "Content-Length: 1000", bytes: "hello" },
  { name: "in whole chunks without the last", header: "Transfer-Encoding: chunked", bytes: "5\r\nhello\r\n" },
  { name: "in the middle of a chunk", header: "Transfer-Encoding: chunked", bytes: "f\r\nhello" }
]

const ways: ReadonlyArray<readonly [string, (line: Line) => void]> = [
  ["resets its connection", ({ socket }) => socket.resetAndDestroy()],
  ["closes its connection", ({ socket }) => socket.destroy()],
  ["ends its side of the connection", ({ socket }) => socket.end()],
  ["sends malformed HTTP", ({ socket }) => socket.write("\r\nzzz\r\n\u0000\r\n".repeat(200))]
]

const requests: ReadonlyArray<readonly [string, (location: string) => readonly [string, string]]> = [
  ["PATCH", (location) => ["PATCH", location]],
  ["PUT", (location) => ["PUT", withDigest(location, digestOf("hello"))]],
  ["POST", () => ["POST", `/v2/a/b/blobs/uploads/?digest=${digestOf("hello")}`]]
]

describe("a body that is not sent to its end", () => {
  for (const [method, request] of requests) {
    for (const framing of framings) {
      for (const [way, leave] of ways) {
        // Bytes that follow within a declared length are still the body.
        if (way === "sends malformed HTTP" && framing.name !== "in whole chunks without the last") continue
        for (const isShielded of [false, true]) {
          const whose = isShielded
            ? "even if the request cannot be interrupted"
            : "as the request is interrupted"
          it.live(`${method} ${framing.name}, by a client that ${way}, stores nothing, ${whose}`, () =>
            torn(request, framing, leave, isShielded)
          )
        }
      }
    }
  }

  for (const [name, code] of resets) {
    it.live(`over HTTP/2, by a client that resets its stream with ${name}, stores nothing`, () => {
      const watched = {
        began: Deferred.makeUnsafe<void>(),
        ended: Deferred.makeUnsafe<Exit.Exit<unknown, unknown>>()
      }
      return Effect.gen(function* () {
        const { id } = yield* (yield* Uploads).start("a")
        const client = yield* line()
        const head = [
          [":method", "PATCH"],
          [":scheme", "http"],
          [":authority", "x"],
          [":path", `/v2/a/blobs/uploads/${id}?_o=0`]
        ] as const
        yield* client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        yield* client.send(frame(frames.settings, 0, 0, Buffer.alloc(0)))
        yield* client.send(frame(frames.headers, 4, 1, Buffer.concat(head.map(literal))))
        yield* client.send(frame(frames.data, 0, 1, Buffer.from("hello")))
        yield* Deferred.await(watched.began)
        yield* client.send(frame(frames.reset, 0, 1, Buffer.from([0, 0, 0, code])))
        assert.isTrue(Exit.isFailure(yield* Deferred.await(watched.ended)))
        const { state, bucket } = yield* Stored
        assert.deepStrictEqual([state.chunks.size, bucket.objects.size], [0, 0])
      }).pipe(
        Effect.scoped,
        Effect.provide(
          overHttp2.pipe(Layer.provideMerge(watching(watched, true)), Layer.provideMerge(services()))
        )
      )
    })
  }

  it.live("control: a body that ended without an error would be stored", () =>
    Effect.gen(function* () {
      const { id } = yield* (yield* Uploads).start("a/b")
      const quiet = Stream.catch(
        Stream.concat(Stream.make(Buffer.from("hello")), Stream.fail("the client is gone")),
        () => Stream.empty
      )
      yield* (yield* Uploads).append("a/b", id, quiet, { startByte: 0 })
      assert.strictEqual((yield* Stored).state.chunks.size, 1)
    }).pipe(Effect.provide(services()))
  )
})
