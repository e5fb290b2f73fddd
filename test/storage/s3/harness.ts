/** The S3 backend on a stub, and how its tests wait and look. */
import { Context, Effect, Fiber, Layer, Redacted, Stream } from "effect"
import { TestClock } from "effect/testing"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { StorageError } from "../../../src/domain/StorageError.ts"
import * as S3 from "../../../src/storage/S3.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { type Answer, errorXml, reply, stubServer } from "./stub.ts"

export const [a, b, c] = ["a", "b", "c"].map((key) => ObjectKey.make(key)) as [
  ObjectKey,
  ObjectKey,
  ObjectKey
]
export const secret = "wJalrXUtnFEMI/K7MDENG"
export const session = "FwoGZXIvYXdzEBYaDHqa0AP1"

/** A store that gives its answers in turn. Without retries unless a test asks for them. */
export const storeThat = Effect.fnUntraced(function* (
  answers: ReadonlyArray<Answer>,
  options: Partial<S3.S3Options> = {}
) {
  const server = yield* stubServer(...answers)
  const context = yield* Layer.build(
    S3.layer({
      bucket: "bucket",
      region: "us-east-1",
      endpoint: server.endpoint,
      credentials: {
        accessKeyId: Redacted.make("AKIDEXAMPLE"),
        secretAccessKey: Redacted.make(secret),
        sessionToken: Redacted.make(session)
      },
      retries: 0,
      ...options
    })
  )
  return { ...server, storage: Context.get(context, Storage) }
})

/** What a store for uploads in parts answers, where it is not what a good one does. */
export interface UploadAnswers {
  readonly create?: Answer
  readonly part?: Answer
  readonly complete?: Answer
  readonly put?: Answer
}

/** A store for uploads in parts, whose uploads are all called U1. */
export const storeOfUploads = (answers: UploadAnswers = {}, options: Partial<S3.S3Options> = {}) =>
  storeThat(
    [
      (asked, response, request) => {
        const query = new URL(asked.url, "http://x").searchParams
        const part = reply(200, "", { etag: `"part-${query.get("partNumber")}"` })
        const answer = query.has("uploads")
          ? (answers.create ?? reply(200, begunXml))
          : query.has("partNumber")
            ? (answers.part ?? part)
            : asked.method === "POST"
              ? (answers.complete ?? reply(200, completedXml))
              : asked.method === "PUT"
                ? (answers.put ?? reply(200))
                : reply(204)
        return answer(asked, response, request)
      }
    ],
    options
  )

const begunXml =
  "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>a</Key><UploadId>U1</UploadId></InitiateMultipartUploadResult>"
const completedXml = "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"

export const partNumber = (url: string) => Number(new URL(url, "http://x").searchParams.get("partNumber"))

/** Lets virtual time pass until the effect is done, 100 ms for every 2 ms of real time, in which sockets work. */
export const whileTimePasses = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(effect)
  while (fiber.pollUnsafe() === undefined) {
    yield* TestClock.withLive(Effect.sleep("2 millis"))
    yield* TestClock.adjust("100 millis")
  }
  return yield* Fiber.join(fiber)
})

export const keysOf = (storage: Storage["Service"], prefix = "") =>
  Effect.map(Stream.runCollect(storage.list(prefix)), (pages) =>
    pages.flat().map((object): string => object.key)
  )

export const bytesOf = (stream: Stream.Stream<Uint8Array, StorageError>) =>
  Effect.map(Stream.runCollect(stream), (chunks) => Buffer.concat(chunks).toString())

export const slowDown = reply(503, errorXml("SlowDown"))
export const anObject = reply(200, "hello", { etag: '"e"' })
