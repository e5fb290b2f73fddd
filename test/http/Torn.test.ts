import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Stream } from "effect"
import { Repositories } from "../../src/registry/Repositories.ts"
import { Uploads } from "../../src/registry/Uploads.ts"
import { type Line, line, site } from "./support/Site.ts"

describe("torn", () => {
  const cases: ReadonlyArray<readonly [string, string, string]> = [
    ["declared", "PATCH /v2/a/blobs/uploads/x?_o=0 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "hello"],
    ["chunked", "PATCH /v2/a/blobs/uploads/x?_o=0 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n"],
    ["chunked mid", "PATCH /v2/a/blobs/uploads/x?_o=0 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "10\r\nhello\r\n"],
    ["bad framing", "PATCH /v2/a/blobs/uploads/x?_o=0 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\nzzzz\r\n"]
  ]
  const ways: ReadonlyArray<readonly [string, (line: Line) => void]> = [
    ["reset", ({ socket }) => socket.resetAndDestroy()],
    ["destroy", ({ socket }) => socket.destroy()],
    ["end", ({ socket }) => socket.end()]
  ]
  for (const [name, head, bytes] of cases) for (const [way, leave] of ways)
    it.live(`${name} ${way}`, () =>
      Effect.gen(function* () {
        const done = yield* Deferred.make<Exit.Exit<void, unknown>>()
        const began = yield* Deferred.make<void>()
        const uploads = Layer.mock(Uploads)({
          append: ((_a: string, _b: string, body: Stream.Stream<Uint8Array, unknown>) =>
            body.pipe(
              Stream.tap(() => Deferred.succeed(began, undefined)),
              Stream.runDrain, Effect.uninterruptible,
              Effect.onExit((exit) => Deferred.succeed(done, exit)),
              Effect.as({ id: "x", repository: "a", receivedBytes: 5 })
            )) as never
        })
        yield* Effect.gen(function* () {
          const client = yield* line()
          yield* client.send(head)
          yield* client.send(bytes)
          yield* Deferred.await(began)
          leave(client)
          const exit = yield* Deferred.await(done)
          console.log(name, way, JSON.stringify(exit).slice(0, 300))
          assert.isTrue(Exit.isFailure(exit))
        }).pipe(Effect.scoped, Effect.provide(Layer.provide(site(), Layer.merge(uploads, Layer.mock(Repositories)({})))))
      })
    )
})
