/** Connections: how many, and which one ends. */
import { createServer as createPlain, type Server as PlainServer, type RequestListener } from "node:http"
import { createServer, type Server } from "node:https"
import { type AddressInfo, connect as connectPlain } from "node:net"
import { connect } from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { bound, type Connection, victimOf } from "../../../src/oci/http/Connections.ts"
import { line, site, untouched } from "../../fixtures/oci/Site.ts"
import { authority, text } from "../../fixtures/tls/Authority.ts"

const connection = (client: string, since: number, requests = 0): Connection => ({ client, since, requests })

describe("the connection that ends for another", () => {
  const next = connection("b", 100)

  it.each([
    ["is the one that has been idle for longest", [connection("a", 2), connection("a", 1)], 1],
    ["is idle, not busy", [connection("a", 1, 1), connection("a", 2)], 1],
    [
      "is idle and of the client that holds most",
      [connection("c", 1), connection("a", 2), connection("a", 3)],
      1
    ],
    ["is busy where its client holds more than half", [connection("a", 2, 1), connection("a", 1, 1)], 1],
    ["is the new one among busy clients of few", [connection("a", 1, 1), connection("c", 2, 1)], 2]
  ])("%s", (_, open, expected) => {
    const all = [...open, next]
    assert.strictEqual(all.indexOf(victimOf(all, next)), expected)
  })
})

const get = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"

describe("a server with few connections", () => {
  it.live("closes an idle one for each further one", () =>
    Effect.gen(function* () {
      const idle = [yield* line(), yield* line()]
      yield* idle[1]?.send("GET /v2/ HTTP/1.1\r\nHost:") ?? Effect.void
      const third = yield* line()
      yield* third.send(get)
      assert.match(yield* third.until(/\}$/), /^HTTP\/1.1 200 /)
      assert.strictEqual(yield* idle[0]?.closed ?? Effect.succeed("open"), "")
    }).pipe(Effect.scoped, Effect.provide(Layer.provide(site({ connectionsMax: 2 }), untouched)))
  )

  it.live("without a limit keeps them (control)", () =>
    Effect.gen(function* () {
      const idle = yield* line()
      yield* line()
      const third = yield* line()
      yield* third.send(get)
      yield* third.until(/\}$/)
      assert.isFalse(idle.socket.closed)
    }).pipe(Effect.scoped, Effect.provide(Layer.provide(site(), untouched)))
  )

  it.live("ends one that sends many requests and reads no response", () =>
    Effect.gen(function* () {
      const client = yield* line()
      yield* client.send(get.repeat(1000))
      yield* client.closed
    }).pipe(Effect.scoped, Effect.provide(Layer.provide(site(), untouched)))
  )
})

/** A server whose requests `handle` responds to, and a function that sends it bytes and returns what it sent when it is silent. */
const plain = (handle: RequestListener, isBound = true) =>
  Effect.gen(function* () {
    const server = yield* Effect.acquireRelease(
      Effect.callback<PlainServer>((resume) => {
        const listening = createPlain()
        const inTurn = isBound ? bound(listening, { max: 10 }) : listening
        inTurn.on("request", handle)
        listening.listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
      }),
      (listening) => Effect.sync(() => listening.close().closeAllConnections())
    )
    const { port } = server.address() as AddressInfo
    return (bytes: string) =>
      Effect.callback<string>((resume) => {
        let received = ""
        const socket = connectPlain(port, "127.0.0.1", () => socket.write(bytes))
        socket.on("data", (data) => {
          received += data.toString()
        })
        socket.on("error", () => undefined)
        const end = () => resume(Effect.succeed(received))
        socket.once("close", end).setTimeout(300, end)
        return Effect.sync(() => socket.destroy())
      })
  })

const numbers = (received: string) => [...received.matchAll(/number \/(\d+)/g)].map(([, digit]) => digit)

const get3 = [1, 2, 3].map((digit) => `GET /${digit} HTTP/1.1\r\nHost: x\r\n\r\n`).join("")

describe("requests that a client sends at once", () => {
  it.live("are served one after another", () =>
    Effect.gen(function* () {
      const events: Array<string> = []
      const send = yield* plain((request, response) => {
        events.push(`begin ${request.url}`)
        setTimeout(() => {
          events.push(`end ${request.url}`)
          response.end(`number ${request.url}`)
        }, 5)
      })
      assert.deepStrictEqual(numbers(yield* send(get3)), ["1", "2", "3"])
      const inTurn = ["/1", "/2", "/3"].flatMap((path) => [`begin ${path}`, `end ${path}`])
      assert.deepStrictEqual(events, inTurn)
    }).pipe(Effect.scoped)
  )

  it.live.each([
    [true, 1],
    [false, 1000]
  ] as const)(
    "cost one where they are hundreds, and each where nothing is bound: %s",
    ([isBound, expected]) =>
      Effect.gen(function* () {
        let served = 0
        const send = yield* plain((_, response) => {
          served += 1
          setTimeout(() => response.end(), 5)
        }, isBound)
        yield* send(get.repeat(1000))
        assert.strictEqual(served, expected)
      }).pipe(Effect.scoped)
  )

  it.live("are not served after a response that ends the connection", () =>
    Effect.gen(function* () {
      const served: Array<string> = []
      const send = yield* plain((request, response) => {
        served.push(request.url ?? "")
        response.setHeader("connection", "close").end(`number ${request.url}`)
      })
      assert.deepStrictEqual(numbers(yield* send(get3)), ["1"])
      assert.deepStrictEqual(served, ["/1"])
    }).pipe(Effect.scoped)
  )
})

describe("a server with few connections that speaks TLS", () => {
  it.live("knows which are busy, and ends the new one", () =>
    Effect.gen(function* () {
      const own = yield* authority
      const { cert, key } = own.sign("server")
      const server = yield* Effect.acquireRelease(
        Effect.callback<Server>((resume) => {
          const listening = createServer({ cert: text(cert), key: text(key) })
          // It never answers, so its connection stays busy.
          bound(listening, { max: 1 }).on("request", () => undefined)
          listening.listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
        }),
        (listening) => Effect.sync(() => listening.close().closeAllConnections())
      )
      const { port } = server.address() as AddressInfo
      const options = { host: "127.0.0.1", port, ca: text(own.ca) }
      const requested = Effect.callback<void>((resume) => {
        server.once("request", () => resume(Effect.void))
      })
      const busy = connect(options, () => busy.write(get))
      yield* requested
      const ended = yield* Effect.callback<string>((resume) => {
        const next = connect(options).on("error", () => undefined)
        next.once("close", () => resume(Effect.succeed("the new one")))
        busy.once("close", () => resume(Effect.succeed("the busy one")))
      })
      assert.strictEqual(ended, "the new one")
      busy.destroy()
    }).pipe(Effect.scoped)
  )
})
