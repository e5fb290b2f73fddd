/** Connections: how many, and which one ends. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { type Connection, victimOf } from "../../../src/oci/http/Connections.ts"
import { line, site, untouched } from "../../fixtures/oci/Site.ts"

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
