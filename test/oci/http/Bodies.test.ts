/** Bodies of requests: how many, how slow, how large, and their framing. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Stream } from "effect"
import * as Bodies from "../../../src/oci/http/Bodies.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { Uploads } from "../../../src/oci/Uploads.ts"
import { ask, codesOf, line, site } from "../../fixtures/oci/Site.ts"
import { begin, digestOf, registry, Stored, services, withDigest } from "../../fixtures/oci/Stored.ts"
import { untilTrue } from "../../fixtures/Until.ts"

/** Starts a body of declared length that does not end by itself. */
const stuck = (location: string, method = "PATCH") =>
  Effect.gen(function* () {
    const client = yield* line()
    yield* client.send(`${method} ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel`)
    return client
  })

const openChunks = Effect.map(Stored, ({ state }) => state.intents.size)

/** Completes once `count` bodies are being received. */
const receiving = (count: number) =>
  untilTrue(
    `${count} bodies are being received`,
    Effect.map(openChunks, (found) => found >= count),
    { everyMillis: 2 }
  )

describe("a registry at its limit of bodies", () => {
  // Bodies that wait for their clients take the part of bodies that the store takes slowly.
  const overtakeAfter = Duration.infinity

  it.live("lets a chunk wait for a place, and receives it then", () =>
    Effect.gen(function* () {
      const first = yield* stuck(yield* begin("a"))
      yield* receiving(1)
      const second = yield* stuck(yield* begin("b"))
      yield* second.send("lo")
      // The whole body has arrived, and no byte of it was read.
      const third = yield* ask("/v2/")
      assert.deepStrictEqual([third.status, yield* openChunks], [200, 1])
      yield* first.send("lo")
      assert.match(yield* first.until(/\r\n\r\n/), /^HTTP\/1.1 202 /)
      assert.match(yield* second.until(/\r\n\r\n/), /^HTTP\/1.1 202 /)
    }).pipe(Effect.scoped, Effect.provide(registry({ bodiesMax: 1, overtakeAfter })))
  )

  it.live("with as many waiting puts new uploads off after a while, and no other request", () =>
    Effect.gen(function* () {
      const one = yield* begin("a")
      const two = yield* begin("b")
      const three = yield* begin("c")
      const first = yield* stuck(one)
      yield* receiving(1)
      yield* stuck(two)
      yield* Effect.gen(function* () {
        for (const query of ["", `?digest=${digestOf("hello")}`, `?mount=${digestOf("nothing")}`]) {
          const answer = yield* ask(`/v2/d/blobs/uploads/${query}`, {
            method: "POST",
            body: query === "" ? "" : "hello"
          })
          if (answer.status === 202 || answer.status === 201) return yield* Effect.fail("not crowded yet")
          assert.deepStrictEqual([answer.status, ...codesOf(answer)], [503, "UNAVAILABLE"])
          assert.match(answer.headers.get("retry-after") ?? "", /^\d+$/)
        }
      }).pipe(Effect.retry({ times: 500, while: (error) => error === "not crowded yet" }))
      // Existing sessions continue: their status, their end, and their chunks, which wait.
      assert.strictEqual((yield* ask(three)).status, 204)
      assert.strictEqual((yield* ask(withDigest(three, digestOf("")), { method: "PUT" })).status, 201)
      yield* first.send("lo")
      assert.match(yield* first.until(/\r\n\r\n/), /^HTTP\/1.1 202 /)
    }).pipe(
      Effect.scoped,
      Effect.provide(registry({ bodiesMax: 1, roomWithin: Duration.millis(20), overtakeAfter }))
    )
  )

  it.live("lets a new upload wait until there is room, and starts it then", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* begin("a"), yield* begin("b")]
      const first = yield* stuck(one)
      yield* receiving(1)
      yield* stuck(two)
      const starting = yield* Effect.forkChild(ask("/v2/d/blobs/uploads/", { method: "POST" }), {
        startImmediately: true
      })
      yield* Effect.sleep("50 millis")
      yield* first.send("lo")
      assert.match(yield* first.until(/\r\n\r\n/), /^HTTP\/1.1 202 /)
      assert.strictEqual((yield* Fiber.join(starting)).status, 202)
    }).pipe(Effect.scoped, Effect.provide(registry({ bodiesMax: 1, overtakeAfter })))
  )

  it.live("gives the place of a disconnected client to the next", () =>
    Effect.gen(function* () {
      const first = yield* stuck(yield* begin("a"))
      yield* receiving(1)
      first.socket.destroy()
      assert.strictEqual((yield* ask(yield* begin("b"), { method: "PATCH", body: "hello" })).status, 202)
    }).pipe(Effect.scoped, Effect.provide(registry({ bodiesMax: 1 })))
  )

  it.effect("receives no more, and has no room when as many wait", () =>
    Effect.gen(function* () {
      const bodies = yield* Bodies.make({ max: 2, roomWithin: Duration.zero })
      let inside = 0
      let most = 0
      const gate = yield* Deferred.make<void>()
      const one = bodies.receive(
        "",
        () => Stream.empty,
        () =>
          Effect.suspend(() => {
            inside += 1
            most = Math.max(most, inside)
            return Effect.ensuring(
              Deferred.await(gate),
              Effect.sync(() => {
                inside -= 1
              })
            )
          })
      )
      const fibers: Array<Fiber.Fiber<void, unknown>> = []
      for (let count = 1; count <= 4; count++) {
        assert.isTrue(yield* bodies.hasRoom)
        fibers.push(yield* Effect.forkChild(one, { startImmediately: true }))
      }
      assert.isFalse(yield* bodies.hasRoom)
      assert.strictEqual(yield* bodies.settle(Effect.succeed("its own place")), "its own place")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.awaitAll(fibers)
      assert.deepStrictEqual([inside, most, yield* bodies.hasRoom], [0, 2, true])
    })
  )
})

describe("a body that stalls", () => {
  const impatient = { idleTimeout: Duration.millis(400) }

  it.live.each(["PATCH", "PUT", "POST"])("is given up, and the %s has changed nothing", (method) =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      const digest = digestOf("hello")
      const path = {
        PATCH: location,
        PUT: withDigest(location, digest),
        POST: `/v2/a/blobs/uploads/?digest=${digest}`
      }[method]
      const client = yield* stuck(path ?? "", method)
      const answer = yield* client.closed
      assert.match(answer, /^HTTP\/1.1 408 /)
      assert.match(answer, /BLOB_UPLOAD_INVALID/)
      const { bucket, state } = yield* Stored
      assert.deepStrictEqual([state.chunks.size, state.blobs.size, bucket.objects.size], [0, 0, 0])
      assert.strictEqual((yield* ask(location)).headers.get("range"), "0-0")
      assert.strictEqual((yield* ask(location, { method: "PATCH", body: "hello" })).status, 202)
    }).pipe(Effect.scoped, Effect.provide(registry(impatient)))
  )

  it.live("is distinguished from a slow body, however long that takes", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      const client = yield* line()
      yield* client.send(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n`)
      for (let at = 0; at < 30; at++) {
        yield* client.send("x")
        yield* Effect.sleep("50 millis")
      }
      assert.match(yield* client.until(/\r\n\r\n/), /^HTTP\/1.1 202 /)
    }).pipe(Effect.scoped, Effect.provide(registry({ idleTimeout: Duration.seconds(1) })))
  )

  it.live("is distinguished from a body that the store takes slowly", () => {
    // Reads a chunk, and is then busy for longer than a body may stall.
    const slow = Layer.mock(Uploads)({
      append: (repository, id, body) =>
        Effect.as(
          Stream.runForEach(body, () => Effect.sleep("1 second")),
          { repository, id, receivedBytes: 5 }
        )
    })
    const backing = Layer.merge(slow, Layer.mock(Repositories)({}))
    return Effect.gen(function* () {
      const patched = yield* ask("/v2/a/blobs/uploads/x?_o=0", { method: "PATCH", body: "hello" })
      assert.strictEqual(patched.status, 202)
    }).pipe(Effect.provide(Layer.provide(site(impatient), backing)))
  })
})

describe("a body", () => {
  it.live("whose client waits for permission gets it when the body is needed", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      const client = yield* line()
      const head = "HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
      yield* client.send(`PATCH ${location} ${head}`)
      assert.strictEqual(yield* client.until(/\r\n\r\n/), "HTTP/1.1 100 Continue\r\n\r\n")
      yield* client.send("hello")
      assert.match(yield* client.until(/HTTP\/1.1 202 .*\r\n\r\n/s), /range: 0-4/i)
      const other = yield* line()
      yield* other.send(`PATCH ${location} ${head}`)
      // The chunk does not begin at the session's end, which is known without reading it.
      assert.match(yield* other.closed, /^HTTP\/1.1 416 /)
    }).pipe(Effect.scoped, Effect.provide(registry()))
  )

  it.live("in chunks that are not needed ends its connection, and the response says so", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      const client = yield* line()
      yield* client.send(
        `PATCH ${location.replace("_o=0", "_o=7")} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`
      )
      const answer = yield* client.until(/\r\n\r\n/)
      assert.match(answer, /^HTTP\/1.1 416 /)
      assert.match(answer, /connection: close/i)
    }).pipe(Effect.scoped, Effect.provide(registry()))
  )

  it.live("of many bytes that are not needed is not read to its end", () =>
    Effect.gen(function* () {
      const client = yield* line()
      yield* client.send(
        `PATCH /v2/a/blobs/uploads/x?_o=0 HTTP/1.1\r\nHost: x\r\nContent-Length: ${2 ** 40}\r\n\r\nhello`
      )
      const answer = yield* client.closed
      assert.match(answer, /^HTTP\/1.1 404 /)
      assert.match(answer, /connection: close/i)
    }).pipe(Effect.scoped, Effect.provide(registry()))
  )

  it.live.each([
    ["with two lengths", "Content-Length: 5\r\nContent-Length: 6"],
    ["with a length and in chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked"],
    ["with a malformed length", "Content-Length: five"],
    ["with a negative length", "Content-Length: -5"]
  ])("%s is refused", ([, headers]) =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      const client = yield* line()
      yield* client.send(`PATCH ${location} HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\nhello`)
      assert.match(yield* client.closed, /^HTTP\/1.1 400 /)
      assert.strictEqual((yield* Stored).state.chunks.size, 0)
    }).pipe(Effect.scoped, Effect.provide(registry()))
  )

  it.live("is read no faster than it is stored", () => {
    const gate = Deferred.makeUnsafe<void>()
    const closed = Layer.effect(
      Uploads,
      Effect.map(Uploads, (uploads) =>
        Uploads.of({
          ...uploads,
          append: (repository, id, body, options) =>
            uploads.append(
              repository,
              id,
              Stream.tap(body, () => Deferred.await(gate)),
              options
            )
        })
      )
    )
    return Effect.gen(function* () {
      const size = 64 * 1024 * 1024
      const client = yield* line()
      yield* client.send(`PATCH ${yield* begin("a")} HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`)
      let sent = 0
      const block = Buffer.alloc(1024 * 1024)
      const sending = Effect.gen(function* () {
        while (sent < size) {
          yield* client.send(block)
          sent += block.length
        }
      })
      // The client sends as much as the sockets buffer, and then no more.
      const early = yield* Effect.timeoutOption(sending, "300 millis")
      assert.strictEqual(early._tag, "None")
      assert.isBelow(sent, size / 2)
    }).pipe(Effect.scoped, Effect.provide(site().pipe(Layer.provide(closed), Layer.provideMerge(services()))))
  })
})
