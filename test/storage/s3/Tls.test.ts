/** A store that speaks https, and keys that change while the program runs. */
import { createServer, type Server } from "node:https"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer, Redacted } from "effect"
import * as S3 from "../../../src/storage/S3.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { errorXml, listXml, reply, stubServer } from "../../fixtures/s3/StubServer.ts"
import { authority, type Pair, text } from "../../fixtures/tls/Authority.ts"

const keyOf = (id: string) => ({
  accessKeyId: Redacted.make(id),
  secretAccessKey: Redacted.make(`secret of ${id}`)
})

const probe = (options: Partial<S3.S3Options>) =>
  Effect.flatMap(Storage, (storage) => storage.probe).pipe(
    Effect.provide(
      S3.layer({ bucket: "b", region: "us-east-1", credentials: keyOf("id"), retries: 0, ...options })
    )
  )

/** A store over https. Returns its port. */
const store = ({ cert, key }: Pair) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Server>((resume) => {
        const server = createServer({ cert: text(cert), key: text(key) }, (_, response) => {
          response.writeHead(200, { "content-type": "application/xml" }).end(listXml([]))
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close().closeAllConnections())
    ),
    (server) => (server.address() as AddressInfo).port
  )

describe("a store over https", () => {
  it.live("is verified by the authorities of S3_TLS_CA, and by its host name", () =>
    Effect.gen(function* () {
      const own = yield* authority
      const other = yield* authority
      const port = yield* store(own.sign("named", { names: "DNS:localhost" }))
      const tlsCa = () => text(own.ca)
      const endpoint = `https://localhost:${port}`
      yield* probe({ endpoint, tlsCa })
      const refused = (options: Partial<S3.S3Options>) =>
        Effect.map(Effect.flip(probe(options)), ({ message }) => message)
      const unknown = /its certificate has an unknown authority.*Set S3_TLS_CA to the file/
      assert.match(yield* refused({ endpoint }), unknown)
      assert.match(yield* refused({ endpoint, tlsCa: () => text(other.ca) }), unknown)
      assert.match(
        yield* refused({ endpoint: `https://127.0.0.1:${port}`, tlsCa }),
        /its certificate is for another host name.*Write a host in S3_ENDPOINT/
      )
      const late = yield* store(own.sign("late", { days: -1 }))
      assert.match(
        yield* refused({ endpoint: `https://localhost:${late}`, tlsCa }),
        /its certificate has expired.*Renew the certificate of the server/
      )
    }).pipe(Effect.scoped)
  )

  it.live("is verified by new authorities without a restart", () =>
    Effect.gen(function* () {
      const own = yield* authority
      const other = yield* authority
      const port = yield* store(own.sign("server"))
      let ca = text(other.ca)
      const options = { endpoint: `https://localhost:${port}`, tlsCa: () => ca }
      yield* Effect.flatMap(Storage, (storage) =>
        Effect.gen(function* () {
          yield* Effect.flip(storage.probe)
          ca = text(own.ca)
          yield* storage.probe
        })
      ).pipe(
        Effect.provide(
          S3.layer({ bucket: "b", region: "us-east-1", credentials: keyOf("id"), retries: 0, ...options })
        )
      )
    }).pipe(Effect.scoped)
  )
})

describe("a key of the store", () => {
  /** Which key signed each request. */
  const signers = (
    asked: ReadonlyArray<{ readonly headers: { readonly authorization?: string | undefined } }>
  ) => asked.map(({ headers }) => /Credential=([^/]+)/.exec(headers.authorization ?? "")?.[1])

  it.live("is asked for each request, and a request is repeated once with a key that changed", () =>
    Effect.gen(function* () {
      const ok = reply(200, listXml([]))
      const stale = reply(403, errorXml("InvalidAccessKeyId", "no secret of one here"))
      const { asked, endpoint } = yield* stubServer(ok, stale, ok, stale)
      let current = keyOf("one")
      let next = keyOf("two")
      const credentials = (isRefused: boolean) =>
        Effect.sync(() => {
          if (isRefused) current = next
          return current
        })
      const layer: Layer.Layer<Storage> = S3.layer({
        bucket: "b",
        region: "us-east-1",
        endpoint,
        credentials,
        retries: 0
      })
      yield* Effect.flatMap(Storage, (storage) =>
        Effect.gen(function* () {
          yield* storage.probe
          yield* storage.probe
          assert.deepStrictEqual(signers(asked), ["one", "one", "two"])
          next = current
          const error = yield* Effect.flip(storage.probe)
          assert.strictEqual(error.reason, "AccessDenied")
          assert.notInclude(error.message, "secret of one", "also a key that was replaced is hidden")
          assert.deepStrictEqual(
            signers(asked),
            ["one", "one", "two", "two"],
            "a key that did not change is not tried again"
          )
        })
      ).pipe(Effect.provide(layer))
    }).pipe(Effect.scoped)
  )
})
