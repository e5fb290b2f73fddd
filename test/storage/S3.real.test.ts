/** The contract on a real server, and its failures. See fixtures/s3/RealServer.ts. */
import { randomUUID } from "node:crypto"
import { type AddressInfo, connect, createServer } from "node:net"
import { ListMultipartUploadsCommand } from "@aws-sdk/client-s3"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Redacted, Stream } from "effect"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import type { StorageError } from "../../src/domain/StorageError.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { dialect, layer, onRealS3, options, sdk, storageOf } from "../fixtures/s3/RealServer.ts"
import { storageContract } from "./Storage.contract.ts"

onRealS3("Storage", (name) => {
  if (dialect.unfit === undefined) storageContract(`S3 (${name})`, layer, { timeLimit: 30_000, ...dialect })
  else it.skip(`the contract of Storage is not for ${name}: ${dialect.unfit}`, () => undefined)

  // The names of these tests are the report of what the suites could not ask of this server.
  const { findsUploadsByKeyOnly, nests, uploadPages } = dialect
  it(`${name} keeps an object a beside a/b: ${nests === true ? "yes" : "no, so no suite has both"}`, () => {
    assert.isBoolean(nests)
  })
  it(`${name} lists uploads in parts by ${findsUploadsByKeyOnly === true ? "their key only" : "a prefix"}, ${uploadPages ?? "page by page"}`, () => {
    assert.isBoolean(findsUploadsByKeyOnly)
  })

  describe(`S3 (${name})`, () => {
    const unfinished = Effect.fnUntraced(function* (key: ObjectKey) {
      const client = yield* sdk
      // The whole key, because MinIO lists uploads under no shorter prefix.
      const command = new ListMultipartUploadsCommand({ Bucket: options.bucket, Prefix: key })
      return (yield* Effect.promise(() => client.send(command))).Uploads ?? []
    })

    it.live(
      "leaves no unfinished upload of a body that fails or is interrupted",
      () =>
        Effect.gen(function* () {
          const storage = yield* Storage
          const prefix = `unfinished-${randomUUID()}/`
          const [a, b] = [ObjectKey.make(`${prefix}a`), ObjectKey.make(`${prefix}b`)]
          const half = Stream.make(Buffer.alloc(8 * 1024 * 1024), Buffer.alloc(1024))
          const failing = Stream.concat(half, Stream.fail("broken" as const))
          const exit = yield* Effect.exit(storage.put(a, failing, 20_000_000))
          assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === "broken")

          const reached = yield* Deferred.make<void>()
          const hanging = half.pipe(
            Stream.concat(Stream.fromEffectDrain(Deferred.succeed(reached, undefined))),
            Stream.concat(Stream.never)
          )
          const fiber = yield* Effect.forkChild(storage.put(b, hanging, 20_000_000))
          yield* Deferred.await(reached)
          assert.strictEqual((yield* unfinished(b)).length, 1, "control: the upload existed")
          yield* Fiber.interrupt(fiber)

          assert.deepStrictEqual([...(yield* unfinished(a)), ...(yield* unfinished(b))], [])
          assert.deepStrictEqual(yield* Stream.runCollect(storage.list(prefix)), [])
        }).pipe(Effect.provide(layer)),
      30_000
    )

    it.live(
      "gives an address under which a client without credentials reads one object, until it ends",
      () =>
        Effect.gen(function* () {
          const storage = yield* Storage
          const key = ObjectKey.make(`presigned-${randomUUID()}/a b+c`)
          yield* storage.put(key, Stream.make(Buffer.from("0123456789")), 10)
          const presign = storage.presign ?? (() => Effect.die("the store has no addresses"))
          const get = (address: string, init: RequestInit = {}) =>
            Effect.promise(async () => {
              const answer = await fetch(address, init)
              return [answer.status, answer.ok ? await answer.text() : ""]
            })
          const address = yield* presign(key, Duration.minutes(1))
          assert.deepStrictEqual(yield* get(address), [200, "0123456789"])
          assert.deepStrictEqual(yield* get(address, { headers: { range: "bytes=2-4" } }), [206, "234"])
          for (const other of [address.replace("presigned-", "presigned_"), address.replace(/\?.*/, "")]) {
            assert.strictEqual((yield* get(other))[0], 403)
          }
          for (const method of ["PUT", "DELETE"]) {
            assert.strictEqual((yield* get(address, { method, body: method === "PUT" ? "x" : null }))[0], 403)
          }
          const ended = yield* presign(key, Duration.seconds(1))
          yield* Effect.sleep("2100 millis")
          assert.strictEqual((yield* get(ended))[0], 403)
          yield* storage.delete([key])
        }).pipe(Effect.provide(layer)),
      30_000
    )

    it.live(
      "takes no part that was damaged on its way",
      () =>
        Effect.gen(function* () {
          const far = new URL(options.endpoint ?? "")
          let damages = false
          const proxy = createServer((near) => {
            const server = connect(Number(far.port), far.hostname)
            near.on("data", (bytes) => {
              const at = damages ? bytes.indexOf("intact") : -1
              if (at >= 0) bytes[at] = 0
              server.write(bytes)
            })
            server.pipe(near)
            for (const [one, other] of [
              [near, server],
              [server, near]
            ] as const) {
              one.on("error", () => other.destroy()).on("close", () => other.destroy())
            }
          })
          yield* Effect.acquireRelease(
            Effect.promise(() => new Promise<void>((up) => proxy.listen(0, "127.0.0.1", up))),
            () => Effect.sync(() => proxy.close())
          )
          // The name stays that of the server, because the signature covers it.
          const endpoint = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
          const storage = yield* storageOf({ ...options, endpoint, retries: 0 })
          const key = ObjectKey.make(`damaged-${randomUUID()}`)
          const body = Buffer.alloc(12 * 1024 * 1024, "x")
          body.write("intact", 9_000_000)
          const put = storage.put(key, Stream.make(body), body.length)
          yield* put
          yield* storage.delete([key])
          damages = true
          const error = yield* Effect.flip(put)
          assert.strictEqual(error._tag, "StorageError", `${error.message}`)
          assert.deepStrictEqual(yield* Stream.runCollect(storage.list(key)), [])
        }).pipe(Effect.provide(layer), Effect.scoped),
      30_000
    )

    it.live(
      "distinguishes wrong credentials from a bucket that does not exist",
      () =>
        Effect.gen(function* () {
          const { credentials } = options
          if (credentials === undefined || typeof credentials === "function") return assert.fail("no keys")
          const wrong = yield* storageOf({
            ...options,
            credentials: { ...credentials, secretAccessKey: Redacted.make("wrong-secret") }
          })
          const denied = yield* Effect.flip(wrong.probe)
          assert.strictEqual(denied.reason, "AccessDenied")
          assert.notInclude(`${denied.message}${denied.stack}`, "wrong-secret")
          const absent = yield* storageOf({ ...options, bucket: `absent-${randomUUID()}` })
          const key = ObjectKey.make("a")
          const calls: Record<string, Effect.Effect<unknown, StorageError>> = {
            probe: absent.probe,
            list: Stream.runDrain(absent.list("")),
            delete: absent.delete([key]),
            put: absent.put(key, Stream.empty, 0),
            "put of unknown length": absent.put(key, Stream.empty, null),
            copy: absent.copy(key, ObjectKey.make("b")),
            multiparts: Stream.runDrain(absent.multiparts("")),
            skew: absent.skew,
            traits: absent.traits
          }
          for (const [call, effect] of Object.entries(calls)) {
            assert.strictEqual((yield* Effect.flip(effect)).reason, "NotFound", call)
          }
        }),
      30_000
    )
  })
})
