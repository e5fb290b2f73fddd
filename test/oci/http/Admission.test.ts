/** Requests that are not served, with whatever credentials: other spellings, other hosts, other web sites. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Redacted, Stream } from "effect"
import { TestClock } from "effect/testing"
import { hostName } from "../../../src/oci/http/Admission.ts"
import * as Bodies from "../../../src/oci/http/Bodies.ts"
import { Repositories } from "../../../src/oci/Repositories.ts"
import { Uploads } from "../../../src/oci/Uploads.ts"
import { ask, codesOf, line, site, untouched } from "../../fixtures/oci/Site.ts"
import { digestOf } from "../../fixtures/oci/Stored.ts"

const open = Layer.provide(site(), untouched)
const guarded = Layer.provide(site({ token: Redacted.make("t") }), untouched)
const named = Layer.provide(site({ hosts: ["localhost", "Registry.lan"] }), untouched)

/** Sends one request as it is, and returns the response. */
const raw = Effect.fnUntraced(function* (request: string) {
  const client = yield* line()
  yield* client.send(request.replaceAll("\n", "\r\n"))
  return yield* client.closed
}, Effect.scoped)

const statusOf = (response: string) => Number(response.split(" ")[1])

describe("an address", () => {
  it.live.each(["/V2/_catalog", "/%762/_catalog", "/v%32/_catalog", "/V2/"])(
    "in another spelling is not served, so a proxy's rule holds: %s",
    (path) =>
      Effect.gen(function* () {
        const response = yield* raw(`GET ${path} HTTP/1.1\nHost: x\nConnection: close\n\n`)
        assert.strictEqual(statusOf(response), 404)
      }).pipe(Effect.provide(open))
  )

  it.live.each([
    "/v2/_catalog?last=%00",
    "/v2/a/tags/list?last=%00",
    `/v2/a/referrers/${digestOf("x")}?artifactType=%00`,
    "/v2/a/manifests/%00"
  ])("with U+0000 is refused before the database sees it: %s", (path) =>
    Effect.gen(function* () {
      const answer = yield* ask(path)
      assert.deepStrictEqual([answer.status, ...codesOf(answer)], [400, "UNSUPPORTED"])
    }).pipe(Effect.provide(open))
  )
})

describe("a request", () => {
  it.live("with two hosts is refused", () =>
    Effect.gen(function* () {
      const response = yield* raw("GET /v2/ HTTP/1.1\nHost: a\nHost: b\nConnection: close\n\n")
      assert.strictEqual(statusOf(response), 400)
    }).pipe(Effect.provide(open))
  )

  it.live("with a transfer coding that is not decoded is refused, and nothing of it is stored", () =>
    Effect.gen(function* () {
      const response = yield* raw(
        "PUT /v2/a/manifests/v1 HTTP/1.1\nHost: x\nTransfer-Encoding: gzip, chunked\n\n1\nx\n0\n\n"
      )
      assert.strictEqual(statusOf(response), 501)
    }).pipe(Effect.provide(open))
  )

  it.live("gets a response of which no browser guesses the type", () =>
    Effect.gen(function* () {
      for (const path of ["/v2/", "/v2/none", "/v2/a/tags/list?n=x"])
        assert.strictEqual((yield* ask(path)).headers.get("x-content-type-options"), "nosniff", path)
    }).pipe(Effect.provide(open))
  )
})

describe("a page of another web site", () => {
  const foreign = [
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Site: same-site",
    "Origin: http://evil.example:5000",
    "Origin: null"
  ]
  for (const header of foreign) {
    it.live(`cannot read or write where no password is needed (${header})`, () =>
      Effect.gen(function* () {
        for (const method of ["GET", "POST", "DELETE"]) {
          const response = yield* raw(
            `${method} /v2/ HTTP/1.1\nHost: localhost\n${header}\nContent-Length: 0\nConnection: close\n\n`
          )
          assert.strictEqual(statusOf(response), 403, method)
        }
      }).pipe(Effect.provide(open))
    )

    it.live(`cannot write with the password that a browser remembers (${header})`, () =>
      Effect.gen(function* () {
        const request = (method: string) =>
          raw(
            `${method} /v2/ HTTP/1.1\nHost: localhost\nAuthorization: Bearer t\n${header}\nContent-Length: 0\nConnection: close\n\n`
          )
        assert.strictEqual(statusOf(yield* request("POST")), 403)
        assert.strictEqual(statusOf(yield* request("GET")), 200)
      }).pipe(Effect.provide(guarded))
    )
  }

  it.live("is told from the registry's own page, and from clients that are no browsers", () =>
    Effect.gen(function* () {
      const headers = [
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Site: none",
        "Origin: http://localhost:5000",
        "A: b"
      ]
      for (const header of headers) {
        const response = yield* raw(
          `GET /v2/ HTTP/1.1\nHost: localhost:5000\n${header}\nConnection: close\n\n`
        )
        assert.strictEqual(statusOf(response), 200, header)
      }
    }).pipe(Effect.provide(open))
  )
})

describe("a host", () => {
  it.live("that is not the registry's own is refused where names are given", () =>
    Effect.gen(function* () {
      const status = (host: string) =>
        Effect.map(raw(`GET /v2/ HTTP/1.1\nHost: ${host}\nConnection: close\n\n`), statusOf)
      for (const host of ["evil.example", "evil.example:5000", "localhost.evil.example"])
        assert.strictEqual(yield* status(host), 421, host)
      for (const host of [
        "localhost",
        "LOCALHOST:5000",
        "registry.lan",
        "127.0.0.1:5000",
        "10.1.2.3",
        "[::1]:5000"
      ])
        assert.strictEqual(yield* status(host), 200, host)
    }).pipe(Effect.provide(named))
  )

  it("is read without its port", () => {
    const names = [
      ["a.b", "a.b"],
      ["A.b:5000", "a.b"],
      ["[::1]:5000", "::1"],
      ["[FE80::1]", "fe80::1"],
      ["", ""],
      ["a:b:c", ""]
    ] as const
    for (const [host, name] of names) assert.strictEqual(hostName(host), name, host)
  })
})

describe("a declared length", () => {
  const uploads = "/v2/a/blobs/uploads/"
  const requests = [
    ["POST", `${uploads}?digest=${digestOf("x")}`, "Content-Length: 5497558138881"],
    ["POST", `${uploads}?digest=${digestOf("x")}`, "Content-Length: 9007199254740993"],
    ["POST", `${uploads}?digest=${digestOf("x")}`, "Content-Length: 1000000000000000000"],
    ["PATCH", `${uploads}x`, "Content-Range: 0-5497558138880\nTransfer-Encoding: chunked"],
    ["PATCH", `${uploads}x?_o=5497558138880`, "Content-Length: 1"],
    ["PUT", `${uploads}x?digest=${digestOf("x")}`, "Content-Length: 5497558138881"],
    ["PUT", "/v2/a/manifests/v1", "Content-Length: 1000000000000000000"]
  ] as const
  for (const [method, path, length] of requests) {
    it.live(
      `of more than the largest object is refused before a byte is read: ${method} ${length.split("\n")[0]}`,
      () =>
        Effect.gen(function* () {
          const client = yield* line()
          yield* client.send(`${method} ${path} HTTP/1.1\nHost: x\n${length}\n\n`.replaceAll("\n", "\r\n"))
          const response = yield* client.until(/\}\s*$/)
          assert.strictEqual(statusOf(response), 413)
          assert.include(response, "SIZE_INVALID")
        }).pipe(Effect.scoped, Effect.provide(open))
    )
  }
})

describe("a manifest that arrives slowly", () => {
  const digest = digestOf("{}")
  const stored = Layer.mergeAll(
    Layer.mock(Repositories)({
      putManifest: () =>
        Effect.succeed({ digest, subject: null, mediaType: "application/json", sizeBytes: 2 })
    }),
    Layer.mock(Uploads)({
      finish: () => Effect.succeed({ digest, sizeBytes: 2, outcome: "uploaded" as const })
    })
  )

  it.live("keeps no place from other manifests, nor from the end of another push", () =>
    Effect.gen(function* () {
      const slow = yield* Effect.forEach(["v1", "v2", "v3"], (tag) =>
        Effect.gen(function* () {
          const client = yield* line()
          yield* client.send(
            `PUT /v2/a/manifests/${tag} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{`
          )
          return client
        })
      )
      const put = { method: "PUT", body: "{}", headers: { "content-type": "application/json" } }
      assert.strictEqual((yield* ask("/v2/b/manifests/v1", put)).status, 201)
      const end = yield* ask(`/v2/b/blobs/uploads/x?digest=${digest}`, { method: "PUT" })
      assert.strictEqual(end.status, 201)
      for (const client of slow) client.socket.destroy()
    }).pipe(Effect.scoped, Effect.provide(Layer.provide(site({ bodiesMax: 1 }), stored)))
  )
})

describe("bodies that are kept in memory", () => {
  const mebibytes = (n: number) => Stream.make(new Uint8Array(n * 1024 * 1024))
  const options = { maxBytes: 40 * 1024 * 1024, tooLong: "too long" } as const

  it.effect("share a bound, and give their memory back with the request", () =>
    Effect.gen(function* () {
      const { hold } = yield* Bodies.make({ max: 1, roomWithin: Duration.zero })
      yield* Effect.scoped(
        Effect.gen(function* () {
          assert.strictEqual((yield* hold(mebibytes(40), options)).length, 40 * 1024 * 1024)
          const refused = yield* Effect.flip(hold(mebibytes(30), options))
          assert.deepInclude(refused, { _tag: "BodiesFull" })
        })
      )
      assert.lengthOf(yield* Effect.scoped(hold(mebibytes(30), options)), 30 * 1024 * 1024)
      assert.strictEqual(yield* Effect.scoped(Effect.flip(hold(mebibytes(41), options))), "too long")
    })
  )

  it.effect("that are slow make way for others, where all of them together use the memory up", () =>
    Effect.gen(function* () {
      for (const [overtakeAfter, expected] of [
        [undefined, 30 * 1024 * 1024],
        [Duration.infinity, "BodiesFull"]
      ] as const) {
        const { hold } = yield* Bodies.make({ max: 1, roomWithin: Duration.zero, overtakeAfter })
        const stuck = Stream.concat(mebibytes(35), Stream.never)
        const slow = yield* Effect.forkChild(Effect.scoped(Effect.flip(hold(stuck, options))), {
          startImmediately: true
        })
        yield* TestClock.adjust("2 seconds")
        const honest = Effect.map(hold(mebibytes(30), options), ({ length }) => length)
        const got = yield* Effect.scoped(
          Effect.catchTag(honest, "BodiesFull", ({ _tag }) => Effect.succeed(_tag))
        )
        assert.strictEqual(got, expected)
        if (overtakeAfter === undefined) assert.deepInclude(yield* Fiber.join(slow), { _tag: "BodiesFull" })
        yield* Fiber.interrupt(slow)
      }
    })
  )

  it.effect("and are ordinary end longer ones at once, and are stored", () =>
    Effect.gen(function* () {
      const { hold } = yield* Bodies.make({ max: 1, roomWithin: Duration.zero })
      const stuck = Stream.concat(mebibytes(32), Stream.never)
      const slow = yield* Effect.forEach([1, 2], () =>
        Effect.forkChild(Effect.scoped(Effect.flip(hold(stuck, options))), { startImmediately: true })
      )
      const ordinary = Stream.make(new Uint8Array(1000))
      assert.lengthOf(yield* Effect.scoped(hold(ordinary, options)), 1000)
      const ended = yield* Effect.raceAllFirst(slow.map(Fiber.join))
      assert.deepInclude(ended, { _tag: "BodiesFull" })
      yield* Fiber.interruptAll(slow)
    })
  )

  it.effect(
    "and are ordinary are not ended over a slow line where longer ones can be, however fast those began",
    () =>
      Effect.gen(function* () {
        const { hold } = yield* Bodies.make({ max: 1, roomWithin: Duration.zero })
        const held = (body: Stream.Stream<Uint8Array>) =>
          Effect.forkChild(Effect.scoped(Effect.exit(hold(body, options))), { startImmediately: true })
        const kilobyte = Stream.tick("100 millis").pipe(Stream.map(() => new Uint8Array(1000)))
        const slow = yield* held(Stream.take(kilobyte, 30))
        const greedy = yield* held(Stream.concat(mebibytes(35), Stream.never))
        yield* TestClock.adjust("2 seconds")
        yield* held(Stream.concat(mebibytes(35), Stream.never))
        yield* TestClock.adjust("2 seconds")
        assert.isTrue(Exit.isSuccess(yield* Fiber.join(slow)))
        assert.include(String(yield* Fiber.join(greedy)), "BodiesFull")
      })
  )

  it.effect("may take ten minutes, which is 4 MiB over the slowest line, and no longer", () =>
    Effect.gen(function* () {
      const { hold } = yield* Bodies.make({ max: 1, roomWithin: Duration.zero })
      const drips = Stream.tick("1 second").pipe(Stream.map(() => new Uint8Array(7200)))
      const longest = yield* Effect.forkChild(Effect.scoped(hold(Stream.take(drips, 583), options)))
      const given = yield* Effect.forkChild(Effect.scoped(Effect.flip(hold(drips, options))))
      for (let second = 0; second < 601; second++) yield* TestClock.adjust("1 second")
      assert.isAbove((yield* Fiber.join(longest)).length, 4 * 1024 * 1024)
      assert.deepInclude(yield* Fiber.join(given), { _tag: "BodySlow" })
    })
  )
})

describe("a client behind a proxy", () => {
  it.live("that probes without a host, in HTTP/1.0, is served where names are given", () =>
    Effect.gen(function* () {
      const response = yield* raw("GET /v2/ HTTP/1.0\n\n")
      assert.strictEqual(statusOf(response), 200)
    }).pipe(Effect.provide(named))
  )

  it.live.each([
    ["localhost:443", "Origin: https://localhost"],
    ["localhost:80", "Origin: http://localhost"],
    ["localhost", "Origin: https://ui.example\nSec-Fetch-Site: same-origin"]
  ])("that names the host in another way than the browser may write: %s", ([host, headers]) =>
    Effect.gen(function* () {
      const response = yield* raw(
        `PUT /v2/ HTTP/1.1\nHost: ${host}\n${headers}\nContent-Length: 0\nConnection: close\n\n`
      )
      assert.strictEqual(statusOf(response), 405)
    }).pipe(Effect.provide(named))
  )
})
