/** Honest bodies in small chunks, as a server with its own budget reads them: at once or slowly, with and without TLS, by a proxy. */
import { createServer, type RequestListener, type Server } from "node:http"
import { createServer as createTlsServer } from "node:https"
import { type AddressInfo, connect, type Socket } from "node:net"
import { connect as connectTls } from "node:tls"
import { NodeStream } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Stream } from "effect"
import type { HttpServerRequest } from "effect/http"
import { makeBudget } from "../../../src/oci/http/Crumbs.ts"
import { bodyOf } from "../../../src/oci/http/RequestBody.ts"
import { startBalancer } from "../../../tools/servers/Balancer.ts"
import { authority, text } from "../../fixtures/tls/Authority.ts"

/** What a server saw of a body. */
interface Received {
  readonly bytes: number
  /** The framing that it counted against the budget. */
  readonly framing: number
  /** For how long it did not read the body. */
  readonly pausedMillis: number
}

/** Reads the body of each request with a budget, and tells the first one's. `began` is called with its first bytes. */
const reading = (began: () => void, tell: (received: Effect.Effect<Received>) => void): RequestListener => {
  const budget = makeBudget()
  return (source, response) => {
    let [framing, pausedMillis] = [0, 0]
    const spend = (client: string, bytes: number, now: number) => {
      framing += bytes
      const pause = budget.spend(client, bytes, now)
      if (pause >= 50) pausedMillis += pause
      return pause
    }
    const limits = {
      idleTimeout: Duration.seconds(10),
      minimumRate: { bytesPerSecond: 0, window: Duration.seconds(10) },
      framing: { spend }
    }
    const stream = NodeStream.fromReadable({ evaluate: () => source, closeOnDone: false })
    const request = { source, stream } as unknown as HttpServerRequest.HttpServerRequest
    const body = bodyOf(
      request,
      limits
    )(null).pipe(
      Stream.tap(() => Effect.sync(began)),
      Stream.runFold(
        () => 0,
        (sum, { length }) => sum + length
      )
    )
    Effect.runCallback(body, {
      onExit: (exit) => {
        response.end()
        tell(Effect.map(Effect.orDie(exit), (bytes) => ({ bytes, framing, pausedMillis })))
      }
    })
  }
}

const listening = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    }),
    () => Effect.sync(() => server.close().closeAllConnections())
  )

/** How a client sends its chunks: all at once after the first one, or so many at a time. */
type Sending = "at once" | number

interface Way {
  readonly sending?: Sending
  readonly by?: "TLS" | "proxy"
}

const opened = Effect.fnUntraced(function* ({ by }: Way, handle: RequestListener) {
  if (by !== "TLS") {
    const port = yield* listening(createServer(handle))
    if (by === undefined) return () => connect(port, "127.0.0.1")
    const balancer = yield* Effect.acquireRelease(
      Effect.promise(() => startBalancer({ targets: [`http://127.0.0.1:${port}`] })),
      ({ close }) => Effect.promise(close)
    )
    return () => connect(Number(new URL(balancer.url).port), "127.0.0.1")
  }
  const own = yield* authority
  const { cert, key } = own.sign("server")
  const port = yield* listening(createTlsServer({ cert: text(cert), key: text(key) }, handle))
  return (): Socket => connectTls({ host: "127.0.0.1", port, ca: text(own.ca) })
})

/** Sends a body in chunks, and returns what the server saw of it. */
const received = (chunkBytes: number, count: number, way: Way = {}) =>
  Effect.gen(function* () {
    const { sending = "at once" } = way
    let rest = () => {}
    let told = (_: Effect.Effect<Received>) => {}
    const open = yield* opened(
      way,
      reading(
        () => {
          rest()
          rest = () => {}
        },
        (outcome) => told(outcome)
      )
    )
    return yield* Effect.callback<Received>((resume) => {
      told = resume
      const client = open().on("error", () => undefined)
      const chunk = `${chunkBytes.toString(16)}\r\n${"x".repeat(chunkBytes)}\r\n`
      client.write(`PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`)
      const trickle = (left: number) => {
        if (client.destroyed) return
        client.write(left > 0 ? chunk.repeat(Math.min(left, Number(sending))) : "0\r\n\r\n")
        if (left > 0) setTimeout(trickle, 1, left - Number(sending))
      }
      rest = () =>
        sending === "at once" ? client.write(`${chunk.repeat(count - 1)}0\r\n\r\n`) : trickle(count - 1)
      return Effect.sync(() => client.destroy())
    })
  }).pipe(Effect.scoped)

describe("a body of which a server reads many chunks at once", () => {
  it.live.each([
    [42, 5000],
    [100, 4000],
    [240, 2000],
    [4096, 100],
    [32_768, 40]
  ] as const)("in chunks of %s bytes has little framing, whatever way it comes", ([size, count]) =>
    Effect.gen(function* () {
      for (const by of [undefined, "TLS", "proxy"] as const)
        assert.deepStrictEqual(yield* received(size, count, by === undefined ? {} : { by }), {
          bytes: size * count,
          framing: 0,
          pausedMillis: 0
        })
    })
  )

  it.live("in chunks of a byte pays for its framing", () =>
    Effect.gen(function* () {
      const { bytes, framing, pausedMillis } = yield* received(1, 9000)
      assert.strictEqual(bytes, 9000)
      assert.isAbove(framing, 9000)
      assert.isAbove(pausedMillis, 0)
    })
  )

  it.live.each([10, 41])("in chunks of %s bytes pays for it, and is not refused", (size) =>
    Effect.gen(function* () {
      const { bytes, framing, pausedMillis } = yield* received(size, 10_000)
      assert.strictEqual(bytes, 10_000 * size)
      assert.isAbove(framing, 10_000)
      assert.isBelow(pausedMillis, 2000)
    })
  )
})

describe("a body that trickles", () => {
  it.live.each([1, 10, 41, 42, 100, 240, 4096, 32_768])("in chunks of %s bytes is never paused", (size) =>
    Effect.gen(function* () {
      const count = size > 1000 ? 40 : 300
      for (const by of ["TLS", "proxy"] as const) {
        const { bytes, pausedMillis } = yield* received(size, count, { sending: 3, by })
        assert.deepStrictEqual([bytes, pausedMillis], [count * size, 0])
      }
    })
  )
})
