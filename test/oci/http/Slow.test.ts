/** Slow clients at a server: they keep no place from others, they are not cut off while they move, and end below the least rate. */

import { createHash, randomBytes } from "node:crypto"
import { Readable } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, Semaphore, Stream } from "effect"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { Uploads } from "../../../src/oci/Uploads.ts"
import { withOpening } from "../../../src/storage/Readables.ts"
import type { ByteRange } from "../../../src/storage/Storage.ts"
import { ask, codesOf, line, site } from "../../fixtures/oci/Site.ts"
import { begin, digestOf, registry, Stored } from "../../fixtures/oci/Stored.ts"
import { untilTrue } from "../../fixtures/Until.ts"

const overtakeAfter = Duration.millis(10)

/** Begins a chunk of five bytes, and sends three. */
const dripping = (name: string) =>
  Effect.gen(function* () {
    const location = yield* begin(name)
    const client = yield* line()
    yield* client.send(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel`)
    return client
  })

const fillPlaces = Effect.gen(function* () {
  const slow = yield* Effect.forEach(["a", "b"], dripping)
  const { state } = yield* Stored
  yield* untilTrue(
    "both are received",
    Effect.sync(() => state.intents.size === 2)
  )
  return slow
})

const push = Effect.gen(function* () {
  const digest = digestOf("hello")
  return (yield* ask(`/v2/c/blobs/uploads/?digest=${digest}`, { method: "POST", body: "hello" })).status
})

describe("bodies that drip", () => {
  it.live("do not stop the pushes of others, and end well", () =>
    Effect.gen(function* () {
      const slow = yield* fillPlaces
      assert.strictEqual(yield* push, 201)
      for (const client of slow) {
        yield* client.send("lo")
        assert.match(yield* client.until(/\r\n\r\n/), /^HTTP\/1.1 202 /)
      }
    }).pipe(Effect.scoped, Effect.provide(registry({ bodiesMax: 2, overtakeAfter })))
  )

  it.live("stop all pushes where nothing is overtaken (control)", () =>
    Effect.gen(function* () {
      yield* fillPlaces
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(push, "300 millis")))
    }).pipe(Effect.scoped, Effect.provide(registry({ bodiesMax: 2, overtakeAfter: Duration.infinity })))
  )

  for (const [which, bytesPerSecond, expected] of [
    ["end below the least rate", 10_000, /^HTTP\/1.1 408 .*more slowly than 10000 bytes a second/s],
    ["last where there is none (control)", 0, /^$/]
  ] as const) {
    it.live(which, () =>
      Effect.gen(function* () {
        const client = yield* line()
        yield* client.send(
          `PATCH ${yield* begin("a")} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n`
        )
        for (let at = 0; at < 12 && !client.socket.closed; at++) {
          yield* client.send("x")
          yield* Effect.sleep("50 millis")
        }
        assert.match(yield* client.until(/^$|\}$/), expected)
        assert.strictEqual((yield* Stored).bucket.objects.size, 0)
      }).pipe(
        Effect.scoped,
        Effect.provide(registry({ minimumRate: { bytesPerSecond, window: Duration.millis(300) } }))
      )
    )
  }
})

describe("a body in chunks of", () => {
  for (const [size, expected] of [
    [1, /^HTTP\/1.1 400 .*framing/s],
    [64, /^HTTP\/1.1 202 /]
  ] as const) {
    it.live(
      `${size} bytes is ${size === 1 ? "refused, because each costs as much as a large one" : "taken"}`,
      () =>
        Effect.gen(function* () {
          const client = yield* line()
          yield* client.send(
            `PATCH ${yield* begin("a")} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`
          )
          const chunk = `${size.toString(16)}\r\n${"x".repeat(size)}\r\n`
          for (let at = 0; at < 40 && !client.socket.closed; at++) {
            yield* client.send(chunk.repeat(1000))
            yield* Effect.sleep("1 millis")
          }
          if (!client.socket.closed) yield* client.send("0\r\n\r\n")
          assert.match(yield* client.until(/\r\n\r\n/), expected)
        }).pipe(Effect.scoped, Effect.provide(registry()))
    )
  }
})

const large = randomBytes(24 * 1024 * 1024)
const largeDigest = digestOf(large)
const small = Buffer.from("hello")

/** A store with so few connections for bytes, which a slow reader would keep. */
const store = (connections: number) => {
  const places = Semaphore.makeUnsafe(connections)
  const opened: Array<number> = []
  const read = (bytes: Buffer) => (range?: ByteRange) => {
    const start = range?.start ?? 0
    const wanted = bytes.subarray(start, (range?.end ?? bytes.length - 1) + 1)
    const opening = Effect.gen(function* () {
      yield* Semaphore.takeScoped(places, 1)
      opened.push(start)
      const readable = yield* Effect.acquireRelease(
        Effect.sync(() => Readable.from(pieces(wanted))),
        (open) => Effect.sync(() => open.destroy())
      )
      return { readable, failure: () => assert.fail("the store failed") }
    })
    return withOpening(Stream.empty, opening)
  }
  const blobs = Layer.mock(Repositories)({
    peek: (_, digest) => {
      const bytes = digest === largeDigest ? large : small
      return Effect.succeed(
        Option.some({ digest, key: ObjectKey.make("k"), sizeBytes: bytes.length, read: read(bytes) })
      )
    }
  })
  return { opened, layer: Layer.merge(Layer.mock(Uploads)({}), blobs) }
}

function* pieces(bytes: Buffer) {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}

/** Asks for the large blob and reads nothing. */
const stalled = Effect.gen(function* () {
  const client = yield* line()
  client.socket.pause()
  yield* client.send(`GET /v2/a/blobs/${largeDigest} HTTP/1.1\r\nHost: x\r\n\r\n`)
  return client
})

const pull = Effect.map(ask(`/v2/a/blobs/${digestOf(small)}`), ({ body }) => body.toString())

describe("readers that stall", () => {
  it.live("do not stop the pulls of others, and get the rest of their bytes later", () => {
    const { layer, opened } = store(2)
    return Effect.gen(function* () {
      const slow = [yield* stalled, yield* stalled]
      yield* untilTrue(
        "both are open",
        Effect.sync(() => opened.length === 2)
      )
      assert.strictEqual(yield* pull, "hello")
      assert.strictEqual(yield* pull, "hello")
      for (const { socket, until } of slow) {
        socket.resume()
        const text = yield* Effect.flatMap(
          untilTrue(
            "all bytes arrive",
            Effect.sync(() => socket.bytesRead > large.length),
            { everyMillis: 5 }
          ),
          () => until(/\r\n\r\n/)
        )
        const body = Buffer.from(text.slice(text.indexOf("\r\n\r\n") + 4), "latin1")
        assert.strictEqual(createHash("sha256").update(body).digest("hex"), largeDigest.slice(7))
      }
      assert.isAbove(Math.max(...opened), 0)
    }).pipe(Effect.scoped, Effect.provide(Layer.provide(site({ readersMax: 2, overtakeAfter }), layer)))
  })

  it.live("stop all pulls where nothing is overtaken (control), and the next one is put off", () => {
    const { layer, opened } = store(2)
    const roomWithin = Duration.millis(200)
    const options = { readersMax: 2, overtakeAfter: Duration.infinity, roomWithin }
    return Effect.gen(function* () {
      yield* stalled
      yield* stalled
      yield* untilTrue(
        "both are open",
        Effect.sync(() => opened.length === 2)
      )
      const refused = yield* ask(`/v2/a/blobs/${digestOf(small)}`)
      assert.deepStrictEqual([refused.status, ...codesOf(refused)], [503, "UNAVAILABLE"])
      assert.isNotNull(refused.headers.get("retry-after"))
    }).pipe(Effect.scoped, Effect.provide(Layer.provide(site(options), layer)))
  })

  it.live("end below the least rate", () => {
    const { layer } = store(1)
    const minimumRate = { bytesPerSecond: 1_000_000, window: Duration.millis(200) }
    return Effect.gen(function* () {
      const client = yield* stalled
      const closed = yield* Effect.forkChild(client.closed)
      yield* Effect.sleep("600 millis")
      client.socket.resume()
      yield* Fiber.join(closed)
      assert.isBelow(client.socket.bytesRead, large.length)
    }).pipe(Effect.scoped, Effect.provide(Layer.provide(site({ minimumRate }), layer)))
  })
})
