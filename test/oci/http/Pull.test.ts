import * as NodeStream from "@effect/platform-node/NodeStream"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Layer, Option, Stream } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { StorageError } from "../../../src/domain/StorageError.ts"
import { holdId } from "../../../src/oci/Names.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { Uploads } from "../../../src/oci/Uploads.ts"
import { withOpening } from "../../../src/storage/Readables.ts"
import { ask, codesOf, line, site } from "../../fixtures/oci/Site.ts"
import { digestOf, image, pushBlob, putManifest, registry, Stored } from "../../fixtures/oci/Stored.ts"

const content = "0123456789"
const digest = digestOf(content)
const tag = `"${digest}"`
const path = `/v2/a/blobs/${digest}`
const pushed = pushBlob("a", content)

describe("an existing blob", () => {
  it.live("gets the same headers with GET and HEAD, and no body with HEAD", () =>
    Effect.gen(function* () {
      yield* pushed
      const got = yield* ask(path)
      const head = yield* ask(path, { method: "HEAD" })
      assert.deepStrictEqual([got.body.toString(), head.body.toString()], [content, ""])
      const told = [
        ["content-length", "10"],
        ["content-type", "application/octet-stream"],
        ["docker-content-digest", digest],
        ["docker-distribution-api-version", "registry/2.0"],
        ["etag", tag],
        ["accept-ranges", "bytes"]
      ] as const
      for (const [name, value] of told) {
        assert.deepStrictEqual([got.headers.get(name), head.headers.get(name)], [value, value])
      }
    }).pipe(Effect.provide(registry()))
  )

  it.live.each([
    ["the first bytes", { range: "bytes=0-3" }, 206, "0123", "bytes 0-3/10"],
    ["bytes to the end", { range: "bytes=7-" }, 206, "789", "bytes 7-9/10"],
    ["the last bytes", { range: "bytes=-2" }, 206, "89", "bytes 8-9/10"],
    ["more bytes than exist", { range: "bytes=8-99" }, 206, "89", "bytes 8-9/10"],
    ["two ranges that touch", { range: "bytes=3-4,0-2" }, 206, "01234", "bytes 0-4/10"],
    ["another unit", { range: "lines=0-1" }, 200, content, null],
    ["a range of what it has parts of", { range: "bytes=0-3", "if-range": tag }, 206, "0123", "bytes 0-3/10"],
    ["a range of other content", { range: "bytes=0-3", "if-range": '"x"' }, 200, content, null],
    [
      "a range since a date",
      { range: "bytes=0-3", "if-range": "Sat, 01 Jan 2022 00:00:00 GMT" },
      200,
      content,
      null
    ],
    ["other content than it has", { "if-none-match": tag }, 304, "", null],
    ["other content than it has, without quotes", { "if-none-match": digest }, 304, "", null],
    ["none of several", { "if-none-match": `"x", W/${tag}` }, 304, "", null],
    ["content that does not exist yet", { "if-none-match": "*" }, 304, "", null],
    ["content other than another digest", { "if-none-match": '"x"' }, 200, content, null],
    ["this digest", { "if-match": tag }, 200, content, null],
    ["any existing content", { "if-match": "*" }, 200, content, null]
  ] as const)("serves a client that wants %s", ([, headers, status, body, range]) =>
    Effect.gen(function* () {
      yield* pushed
      const got = yield* ask(path, { headers })
      assert.deepStrictEqual([got.status, got.body.toString()], [status, body])
      assert.strictEqual(got.headers.get("content-range"), range)
      assert.strictEqual(got.headers.get("etag"), tag)
      assert.strictEqual(got.headers.get("content-length"), status === 304 ? null : String(body.length))
    }).pipe(Effect.provide(registry()))
  )

  it.live.each([
    ["a range after its end", { range: "bytes=10-" }, 416],
    ["a range that ends before it begins", { range: "bytes=5-0" }, 416],
    ["many ranges", { range: `bytes=${"0-0,".repeat(64)}0-0` }, 400],
    ["other content", { "if-match": '"x"' }, 412]
  ] as const)("is not given to a client that wants %s", ([, headers, status]) =>
    Effect.gen(function* () {
      yield* pushed
      const refused = yield* ask(path, { headers })
      assert.strictEqual(refused.status, status)
      assert.isNotEmpty(codesOf(refused))
      assert.strictEqual(refused.headers.get("content-range"), status === 416 ? "bytes */10" : null)
    }).pipe(Effect.provide(registry()))
  )

  it.live("is sent as several parts to a client that wants several ranges", () =>
    Effect.gen(function* () {
      yield* pushed
      const got = yield* ask(path, { headers: { range: "bytes=7-,0-1,90-" } })
      assert.strictEqual(got.status, 206)
      assert.strictEqual(got.headers.get("content-range"), null)
      const [, boundary] =
        /^multipart\/byteranges; boundary=(\w+)$/.exec(got.headers.get("content-type") ?? "") ?? []
      assert.strictEqual(
        got.body.toString(),
        [
          "",
          `--${boundary}`,
          "Content-Type: application/octet-stream",
          "Content-Range: bytes 7-9/10",
          "",
          "789",
          `--${boundary}`,
          "Content-Type: application/octet-stream",
          "Content-Range: bytes 0-1/10",
          "",
          "01",
          `--${boundary}--`,
          ""
        ].join("\r\n")
      )
      assert.strictEqual(got.headers.get("content-length"), String(got.body.length))
    }).pipe(Effect.provide(registry()))
  )

  it.live("is held for a client that asks for it, and not for one that reads it", () =>
    Effect.gen(function* () {
      yield* putManifest("a", "v1", yield* image("a", content))
      const { state } = yield* Stored
      state.pins.clear()
      assert.strictEqual((yield* ask(path)).status, 200)
      assert.strictEqual(state.pins.size, 0)
      assert.strictEqual((yield* ask(path, { method: "HEAD" })).status, 200)
      assert.deepStrictEqual([...state.pins.keys()], [holdId("a", digest)])
    }).pipe(Effect.provide(registry()))
  )

  it.live("and is deleted is not found any more, and another repository keeps it", () =>
    Effect.gen(function* () {
      yield* pushed
      yield* pushBlob("b", content)
      assert.strictEqual((yield* ask(path, { method: "DELETE" })).status, 202)
      for (const method of ["GET", "HEAD", "DELETE"]) {
        assert.strictEqual((yield* ask(path, { method })).status, 404)
      }
      assert.strictEqual((yield* ask(`/v2/b/blobs/${digest}`)).body.toString(), content)
    }).pipe(Effect.provide(registry()))
  )
})

it.live("a blob that does not exist is 404 BLOB_UNKNOWN, and HEAD has no body", () =>
  Effect.gen(function* () {
    const got = yield* ask(path)
    assert.deepStrictEqual([got.status, ...codesOf(got)], [404, "BLOB_UNKNOWN"])
    const head = yield* ask(path, { method: "HEAD" })
    assert.deepStrictEqual([head.status, head.body.length], [404, 0])
    const raw = yield* line()
    yield* raw.send(`HEAD ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    assert.isTrue((yield* raw.closed).endsWith("\r\n\r\n"))
  }).pipe(Effect.provide(registry()))
)

const chunk = new Uint8Array(64 * 1024)

/** The same bytes with a Node form, as a store attaches it. */
const piped = (read: Stream.Stream<Uint8Array, StorageError>): Stream.Stream<Uint8Array, StorageError> =>
  withOpening(
    Stream.suspend(() => read),
    Effect.map(
      Effect.acquireRelease(
        Effect.map(NodeStream.toReadable(read), (readable) => readable),
        (readable) => Effect.sync(() => readable.destroy())
      ),
      (readable) => ({ readable, failure: () => unreachable })
    )
  )

/** A repository whose blob has the bytes of `read` and a declared length of `sizeBytes`. */
const reading = (sizeBytes: number, read: Stream.Stream<Uint8Array, StorageError>) =>
  Layer.merge(
    Layer.mock(Uploads)({}),
    Layer.mock(Repositories)({
      peek: () =>
        Effect.succeed(Option.some({ digest, sizeBytes, key: ObjectKey.make("k"), read: () => read }))
    })
  )

const unreachable = new StorageError({
  operation: "get",
  subject: "blobs/secret-key",
  reason: "Unavailable",
  detail: "connect ECONNREFUSED 10.0.0.1"
})

describe.each([
  ["streams", <A>(read: A) => read],
  ["pipes", piped]
] as const)("a blob that a server %s", (_, form) => {
  it.live("by a store that cannot be reached is 503, without details of the store", () =>
    Effect.gen(function* () {
      const got = yield* ask(path)
      assert.deepStrictEqual([got.status, ...codesOf(got)], [503, "UNAVAILABLE"])
      assert.isNotNull(got.headers.get("retry-after"))
      assert.notMatch(got.body.toString(), /secret|10\.0/)
    }).pipe(Effect.provide(Layer.provide(site(), reading(10, Stream.fail(unreachable)))))
  )

  it.live("by a store that fails midway ends before its length", () => {
    const arrived = Deferred.makeUnsafe<void>()
    const failing = Stream.unwrap(Effect.as(Deferred.await(arrived), Stream.fail(unreachable)))
    return Effect.gen(function* () {
      const client = yield* line()
      yield* client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
      yield* client.until(/abc/)
      yield* Deferred.succeed(arrived, undefined)
      const got = yield* client.closed
      assert.match(got, /^HTTP\/1.1 200 OK\r\n/)
      assert.match(got, /content-length: 10\r\n/)
      assert.isTrue(got.endsWith("\r\n\r\nabc"))
    }).pipe(
      Effect.provide(
        Layer.provide(site(), reading(10, form(Stream.concat(Stream.make(Buffer.from("abc")), failing))))
      )
    )
  })

  it.live(
    "to a client that reads nothing is read no further, and is released after the idle time-out",
    () => {
      let sent = 0
      const ended = Deferred.makeUnsafe<void>()
      const endless = Stream.forever(Stream.make(chunk)).pipe(
        Stream.map((bytes) => {
          sent += 1
          return bytes
        }),
        Stream.ensuring(Deferred.succeed(ended, undefined))
      )
      return Effect.gen(function* () {
        const client = yield* line()
        client.socket.pause()
        yield* client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
        yield* Deferred.await(ended)
        // The store was read as far as sockets buffer, not to its end.
        assert.isBelow(sent * chunk.length, 64 * 1024 * 1024)
      }).pipe(
        Effect.provide(
          Layer.provide(site({ idleTimeout: Duration.millis(200) }), reading(2 ** 40, form(endless)))
        )
      )
    }
  )

  it.live("to a client that disconnects releases the store", () => {
    const ended = Deferred.makeUnsafe<void>()
    const endless = Stream.ensuring(Stream.forever(Stream.make(chunk)), Deferred.succeed(ended, undefined))
    return Effect.gen(function* () {
      const client = yield* line()
      yield* client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
      yield* client.until(/200 OK/)
      client.socket.destroy()
      yield* Deferred.await(ended)
    }).pipe(Effect.provide(Layer.provide(site(), reading(2 ** 40, form(endless)))))
  })
})
