/** Honest clients whose timing, version or proxy is unusual: each is served, and none is taken for a hostile one. */
import { request } from "node:http"
import { pipeline } from "node:stream/promises"
import { constants, createGzip } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Layer, Stream } from "effect"
import { Uploads } from "../../../src/oci/Uploads.ts"
import { startBalancer } from "../../../tools/servers/Balancer.ts"
import { ask, type Line, line, Site, site } from "../../fixtures/oci/Site.ts"
import {
  begin,
  digestOf,
  image,
  indexType,
  putManifest,
  registry,
  Stored,
  services,
  withDigest
} from "../../fixtures/oci/Stored.ts"
import { until } from "../../fixtures/Until.ts"

const chunksOf = (body: string, bytes: number) =>
  Array.from({ length: Math.ceil(body.length / bytes) }, (_, at) => {
    const piece = body.slice(at * bytes, (at + 1) * bytes)
    return `${piece.length.toString(16)}\r\n${piece}\r\n`
  })

const chunked = (location: string) =>
  `PATCH ${location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`

describe("a push in chunks of", () => {
  for (const size of [1, 10, 41, 42, 100, 240, 4096, 32_768])
    it.live(`${size} bytes, in a burst and in trickles, is stored`, () =>
      Effect.gen(function* () {
        const body = "x".repeat(Math.min(5000, size * 600)) + "y".repeat(size)
        for (const [at, each] of [1000, 50].entries()) {
          const location = yield* begin(`a${at}`)
          const client = yield* line()
          yield* client.send(chunked(location))
          const chunks = chunksOf(body, size)
          for (let sent = 0; sent < chunks.length; sent += each)
            yield* client.send(chunks.slice(sent, sent + each).join(""))
          yield* client.send("0\r\n\r\n")
          assert.match(yield* client.until(/\r\n\r\n/), /^HTTP\/1.1 202 /)
          const end = yield* ask(withDigest(location, digestOf(body)), { method: "PUT" })
          assert.strictEqual(end.status, 201)
        }
      }).pipe(Effect.scoped, Effect.provide(registry()))
    )
})

it.live(
  "a client that compresses as it sends, and flushes each line, pushes by two replicas and a balancer",
  () =>
    Effect.gen(function* () {
      const { ports } = yield* Site
      const balancer = yield* Effect.acquireRelease(
        Effect.promise(() => startBalancer({ targets: ports.map((port) => `http://127.0.0.1:${port}`) })),
        ({ close }) => Effect.promise(close)
      )
      const location = yield* begin("a")
      const gzip = createGzip()
      const sent: Array<Buffer> = []
      gzip.on("data", (chunk: Buffer) => sent.push(chunk))
      const status = yield* Effect.promise(async () => {
        const sending = request(new URL(location, balancer.url), { method: "PATCH" })
        const answered = new Promise<number>((resolve, reject) => {
          sending.once("response", (answer) => resolve(answer.resume().statusCode ?? 0)).once("error", reject)
        })
        const piping = pipeline(gzip, sending)
        for (let at = 0; at < 500; at++) {
          gzip.write(`line ${at}\n`)
          await new Promise<void>((resolve) => gzip.flush(constants.Z_SYNC_FLUSH, resolve))
        }
        gzip.end()
        await piping
        return answered
      })
      assert.strictEqual(status, 202)
      const end = yield* ask(withDigest(location, digestOf(Buffer.concat(sent))), { method: "PUT" })
      assert.strictEqual(end.status, 201)
    }).pipe(Effect.scoped, Effect.provide(registry({}, 2)))
)

/** Returns the nth response on a connection, once it has come. They have no bodies. */
const answer = Effect.fnUntraced(function* ({ received }: Line, n: number) {
  const find = () => received().split("HTTP/1.1")[n] ?? ""
  yield* until(`response ${n} comes`, () => find().endsWith("\r\n\r\n"), { everyMillis: 1 })
  return find()
})

describe("a connection", () => {
  it.live("serves hundreds of requests, each sent as soon as the response before has come", () =>
    Effect.gen(function* () {
      const client = yield* line()
      const bytes = "hello"
      let answers = 0
      const next = Effect.fnUntraced(function* (text: string) {
        yield* client.send(text)
        answers += 1
        return yield* answer(client, answers)
      })
      const locationIn = (text: string) => /location: (\S+)/i.exec(text)?.[1] ?? ""
      for (let round = 0; round < 60; round++) {
        const begun = yield* next(
          "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        )
        const chunk = `HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n${bytes}`
        const grown = locationIn(yield* next(`PATCH ${locationIn(begun)} ${chunk}`))
        yield* next(
          `PUT ${withDigest(grown, digestOf(bytes))} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`
        )
        yield* next(`HEAD /v2/a/blobs/${digestOf(bytes)} HTTP/1.1\r\nHost: x\r\n\r\n`)
      }
      assert.isFalse(client.socket.closed)
    }).pipe(Effect.scoped, Effect.provide(registry()))
  )

  it.live("serves a request whose client sent it before it read the response to the one before", () =>
    Effect.gen(function* () {
      const client = yield* line()
      for (let round = 1; round <= 20; round++) {
        yield* client.send("HEAD /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2))
        assert.match(yield* answer(client, 2 * round), /^ 200 /)
      }
    }).pipe(Effect.scoped, Effect.provide(registry()))
  )

  it.live("of HTTP/1.0 serves a push, and is kept where its client asks for it", () =>
    Effect.gen(function* () {
      const client = yield* line()
      const location = yield* begin("a")
      yield* client.send(
        `PATCH ${location} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello`
      )
      assert.match(yield* client.until(/\r\n\r\n/), /^HTTP\/1.1 202 /)
      const end = withDigest(location, digestOf("hello"))
      yield* client.send(`PUT ${end} HTTP/1.0\r\nContent-Length: 0\r\n\r\n`)
      assert.match(yield* client.closed, /HTTP\/1.1 201 /)
    }).pipe(Effect.scoped, Effect.provide(registry()))
  )

  it.live("whose client would like to speak HTTP/2 serves its requests as they are, and stays", () =>
    Effect.gen(function* () {
      const client = yield* line()
      const wishes = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
      yield* client.send(`GET /v2/ HTTP/1.1\r\nHost: x\r\n${wishes}\r\n`)
      yield* client.until(/^HTTP\/1.1 200 [\s\S]*\}$/)
      const location = yield* begin("a")
      yield* client.send(
        `PATCH ${location} HTTP/1.1\r\nHost: x\r\n${wishes}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
      )
      yield* client.until(/HTTP\/1.1 202 /)
      assert.isFalse(client.socket.closed)
    }).pipe(Effect.scoped, Effect.provide(registry()))
  )
})

describe("a client that waits for permission to send its body", () => {
  const expecting = (location: string) =>
    `PATCH ${location} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`

  it.live("gets it with its place, and may send before it", () =>
    Effect.gen(function* () {
      const [one, two, three] = [yield* begin("a"), yield* begin("b"), yield* begin("c")]
      const first = yield* line()
      yield* first.send(`PATCH ${one} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel`)
      const { state } = yield* Stored
      yield* until("the place is taken", () => state.intents.size === 1)
      const [patient, other] = [yield* line(), yield* line()]
      yield* patient.send(expecting(two))
      yield* other.send(expecting(three))
      // curl waits a second, and sends then.
      yield* other.send("hello")
      yield* Effect.sleep("100 millis")
      assert.strictEqual(patient.socket.bytesRead, 0)
      yield* first.send("lo")
      assert.match(yield* patient.until(/\r\n\r\n/), /^HTTP\/1.1 100 Continue/)
      yield* Effect.sleep("100 millis")
      yield* patient.send("hello")
      assert.match(yield* patient.until(/ 202 /), /range: 0-4/i)
      assert.match(yield* other.until(/ 202 /), /range: 0-4/i)
    }).pipe(Effect.scoped, Effect.provide(registry({ bodiesMax: 1, overtakeAfter: Duration.infinity })))
  )
})

describe("a client that stalls", () => {
  it.live("loses its place to one that waits, and none of its bytes, again and again", () =>
    Effect.gen(function* () {
      const location = yield* begin("a")
      const stalling = yield* line()
      yield* stalling.send(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n`)
      for (let at = 0; at < 3; at++) {
        yield* stalling.send("hello")
        yield* Effect.sleep("150 millis")
        assert.strictEqual((yield* ask(yield* begin("b"), { method: "PATCH", body: "x" })).status, 202)
      }
      assert.match(yield* stalling.until(/\r\n\r\n/), /^HTTP\/1.1 202 /)
      const end = withDigest(location, digestOf("hello".repeat(3)))
      assert.strictEqual((yield* ask(end, { method: "PUT" })).status, 201)
    }).pipe(Effect.scoped, Effect.provide(registry({ bodiesMax: 1 })))
  )

  it.live("is not given up where the time of day is set", () => {
    let set = 0
    const clock = Clock.Clock.defaultValue()
    const timeOfDay = () => clock.currentTimeMillisUnsafe() + set
    const settable: Clock.Clock = Object.assign(Object.create(clock), {
      currentTimeMillisUnsafe: timeOfDay,
      currentTimeMillis: Effect.sync(timeOfDay)
    })
    return Effect.gen(function* () {
      const location = yield* begin("a")
      const client = yield* line()
      yield* client.send(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\nhello`)
      const { state } = yield* Stored
      yield* until("it is received", () => state.intents.size === 1)
      set = 30_000
      yield* Effect.sleep("250 millis")
      yield* client.send("hello")
      set = -30_000
      yield* Effect.sleep("250 millis")
      yield* client.send("hello")
      assert.match(yield* client.until(/\r\n\r\n/), /^HTTP\/1.1 202 /)
    }).pipe(
      Effect.scoped,
      Effect.provide(registry({ idleTimeout: Duration.seconds(2) })),
      Effect.provideService(Clock.Clock, settable)
    )
  })
})

/** Takes 10 milliseconds for each piece of a body. */
const slowStore = Layer.effect(
  Uploads,
  Effect.map(Uploads, (uploads) =>
    Uploads.of({
      ...uploads,
      whole: (repository, digest, body, sizeBytes) =>
        uploads.whole(
          repository,
          digest,
          Stream.tap(body, () => Effect.sleep("10 millis")),
          sizeBytes
        )
    })
  )
)

it.live("fifty pushes at once are all stored, by four places and a slow store", () =>
  Effect.gen(function* () {
    const { bucket } = yield* Stored
    const pushes = Array.from({ length: 50 }, (_, at) => {
      const body = `${at} `.repeat(100_000)
      const path = `/v2/a/blobs/uploads/?digest=${digestOf(body)}`
      return Effect.map(ask(path, { method: "POST", body }), ({ status }) => status)
    })
    const statuses = yield* Effect.all(pushes, { concurrency: "unbounded" })
    assert.deepStrictEqual([...new Set(statuses)], [201])
    assert.strictEqual(bucket.objects.size, 50)
  }).pipe(
    Effect.provide(site({ bodiesMax: 4 }).pipe(Layer.provide(slowStore), Layer.provideMerge(services())))
  )
)

it.live("an index of 1,000 images with 3 MB of annotations is stored, over a slow line", () =>
  Effect.gen(function* () {
    const manifest = yield* image("a", "layer")
    yield* putManifest("a", "one", manifest)
    const digest = digestOf(manifest)
    const child = (at: number) => ({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest,
      size: manifest.length,
      platform: { architecture: `a${at}`, os: "linux" },
      annotations: { "org.example.text": "x".repeat(3000) }
    })
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: indexType,
      manifests: Array.from({ length: 1000 }, (_, at) => child(at))
    })
    const client = yield* line()
    yield* client.send(
      `PUT /v2/a/manifests/all HTTP/1.1\r\nHost: x\r\nContent-Type: ${indexType}\r\nContent-Length: ${index.length}\r\n\r\n`
    )
    const piece = Math.ceil(index.length / 100)
    for (let at = 0; at < index.length; at += piece) {
      yield* client.send(index.slice(at, at + piece))
      yield* Effect.sleep("1 millis")
    }
    assert.match(yield* client.until(/\r\n\r\n/), /^HTTP\/1.1 201 /)
    const pulled = yield* Effect.forkChild(ask("/v2/a/manifests/all"))
    assert.strictEqual(digestOf((yield* Fiber.join(pulled)).body), digestOf(index))
  }).pipe(Effect.scoped, Effect.provide(registry()))
)
