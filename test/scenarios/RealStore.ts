/**
 * Stores on the S3 server that `REAL_S3_ENDPOINT` names (`scripts/servers.mjs` sets it), for suites that play on any
 * store under `TestClock`.
 */
import { randomUUID } from "node:crypto"
import { CreateMultipartUploadCommand } from "@aws-sdk/client-s3"
import { Clock, Context, Effect, Layer, Option, Random, Redacted, Stream } from "effect"
import { onProcessClock } from "../../src/database/postgres/Sql.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import * as S3 from "../../src/storage/S3.ts"
import { Storage, type StoredObject } from "../../src/storage/Storage.ts"
import { sdk } from "../storage/s3/real.ts"
import { OtherClient } from "./Stage.ts"

const {
  REAL_S3_ENDPOINT: endpoint,
  REAL_S3_REGION: region = "us-east-1",
  REAL_S3_ACCESS_KEY_ID: accessKeyId = "",
  REAL_S3_SECRET_ACCESS_KEY: secretAccessKey = "",
  REAL_S3_BUCKET: bucket = "artifact-gc-test"
} = process.env

/** Whether there is such a server; suites skip where there is none. */
export const hasStore: boolean = endpoint !== undefined

const s3 = S3.layer({
  bucket,
  region,
  endpoint,
  credentials: { accessKeyId: Redacted.make(accessKeyId), secretAccessKey: Redacted.make(secretAccessKey) }
})

/**
 * The part of a store below `prefix`, as if it were the whole: the bucket is others' too. On the process's clock,
 * since time-outs and back-off of a real store take real time, and by its own chance: the story's is the sweep's.
 */
const below = (prefix: string, inner: Storage["Service"]): Storage["Service"] => {
  const down = (key: string) => ObjectKey.make(prefix + key)
  const up = (key: string) => ObjectKey.make(key.slice(prefix.length))
  const raise = (object: StoredObject): StoredObject => ({ ...object, key: up(object.key) })
  const chance = Random.Random.defaultValue()
  const onTime = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
    stream.pipe(
      Stream.provideService(Clock.Clock, Clock.Clock.defaultValue()),
      Stream.provideService(Random.Random, chance)
    )
  const aside = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(onProcessClock(effect), Random.Random, chance)
  return Storage.of({
    description: inner.description,
    probe: aside(inner.probe),
    list: (within, options) =>
      inner
        .list(down(within), { after: options?.after === undefined ? undefined : down(options.after) })
        .pipe(
          Stream.map((page) => page.map(raise)),
          onTime
        ),
    delete: (keys) =>
      inner.delete(keys.map(down)).pipe(
        Effect.map(({ deleted, failed }) => ({
          deleted: deleted.map(up),
          failed: failed.map((failure) => ({ ...failure, key: up(failure.key) }))
        })),
        aside
      ),
    put: (key, body, sizeBytes, options) => aside(inner.put(down(key), body, sizeBytes, options)),
    copy: (from, to) => aside(inner.copy(down(from), down(to))),
    get: (key, range) => onTime(inner.get(down(key), range)),
    head: (key) => aside(Effect.map(inner.head(down(key)), Option.map(raise))),
    multiparts: (within) =>
      inner.multiparts(down(within)).pipe(
        Stream.map((page) => page.map((upload) => ({ ...upload, key: up(upload.key) }))),
        onTime
      ),
    abortMultipart: ({ key, uploadId }) => aside(inner.abortMultipart({ key: down(key), uploadId })),
    skew: aside(inner.skew),
    traits: aside(inner.traits)
  })
}

/** A store of its own at each build, emptied when it is done with, and another client of it. */
export const ownStore = Layer.effectContext(
  Effect.gen(function* () {
    const prefix = `scenarios/${randomUUID()}/`
    const own = below(prefix, yield* Storage)
    const client = yield* sdk
    const empty = Effect.gen(function* () {
      yield* Stream.runForEach(own.list(""), (page) => own.delete(page.map((object) => object.key)))
      yield* Stream.runForEach(own.multiparts(""), Effect.forEach(own.abortMultipart))
    })
    yield* Effect.addFinalizer(() => Effect.orDie(empty))
    const begin = (key: ObjectKey) =>
      Effect.promise(async () => {
        const request = new CreateMultipartUploadCommand({ Bucket: bucket, Key: prefix + key })
        return (await client.send(request)).UploadId ?? ""
      })
    return Context.make(Storage, own).pipe(Context.add(OtherClient, { begin }))
  })
).pipe(Layer.provide(s3))
