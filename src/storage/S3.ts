/**
 * The store on S3 and on servers that speak its protocol. Only s3/Client.ts, s3/Credentials.ts and s3/Commands.ts
 * import the AWS SDK.
 *
 * Invariants: a request is repeated only if repeating is harmless. This code repeats it, never the SDK, on
 * Effect's `Clock`, bounded in number and time. Interruption aborts the request. No credentials reach an
 * error.
 *
 * It neither creates buckets nor changes their configuration.
 */
import { Duration, Effect, Layer, Ref } from "effect"
import { exactly } from "./Body.ts"
import { Storage } from "./Storage.ts"
import type { Bucket } from "./s3/Bucket.ts"
import { connect } from "./s3/Client.ts"
import { callsOf } from "./s3/Commands.ts"
import { concatenate } from "./s3/Concatenation.ts"
import { copyMaxBytes, copyObject } from "./s3/Copying.ts"
import { keysOf } from "./s3/Credentials.ts"
import { deleteObjects } from "./s3/Deletion.ts"
import { aws } from "./s3/Dialect.ts"
import { fromClient, scrubber } from "./s3/Failure.ts"
import { lifecycle } from "./s3/Lifecycle.ts"
import { list, probe } from "./s3/Listing.ts"
import { abortUpload } from "./s3/Multipart.ts"
import { type Known, multiparts, search } from "./s3/MultipartSearch.ts"
import type { S3Options } from "./s3/Options.ts"
import { presignedGet } from "./s3/Presign.ts"
import { headObject, readObject } from "./s3/Reading.ts"
import * as Requests from "./s3/Requests.ts"
import { serverOf, skew } from "./s3/Skew.ts"
import { traits } from "./s3/Traits.ts"
import { upload } from "./s3/Upload.ts"
import { deleteVersions } from "./s3/Versions.ts"

export type { S3Credentials, S3Options } from "./s3/Options.ts"

/** Provides the store in a bucket. It connects at the first request, so run `probe` to check the options. */
export const layer = (options: S3Options): Layer.Layer<Storage> => Layer.effect(Storage, make(options))

const make = Effect.fnUntraced(function* (options: S3Options) {
  const maxConnections = Math.max(Requests.connectionsMin, options.maxConnections ?? 50)
  const requestTimeout = options.requestTimeout ?? Duration.seconds(30)
  const multipartAboveBytes = options.multipartAboveBytes ?? 64 * 1024 * 1024
  const secrets = new Set<string>()
  const keys = keysOf(options.credentials, (seen) => {
    for (const secret of seen) secrets.add(secret)
  })
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => connect(options, keys, maxConnections + Requests.streamedMax(maxConnections))),
    (client) => Effect.sync(() => client.destroy())
  )
  const scrub = (text: string) => scrubber([...secrets])(text)
  const failed: Bucket["failed"] = (operation, subject, cause) => fromClient(operation, subject, cause, scrub)
  const requests = yield* Requests.make(
    {
      requestTimeout,
      maxConnections,
      retries: options.retries ?? 4,
      retryWithin: options.retryWithin ?? Duration.minutes(1)
    },
    failed
  )
  const { readersEndpoint } = options
  const readers =
    readersEndpoint === undefined
      ? client
      : connect({ ...options, endpoint: readersEndpoint }, keys, maxConnections)
  const calls = callsOf(client, options.bucket, readers)
  const signsParts = options.endpoint?.startsWith("http:") === true
  const bucket: Bucket = { name: options.bucket, calls, requests, failed, signsParts }
  const dialect = yield* Ref.make(aws)
  // AWS documents it.
  const searched = yield* Ref.make<Known>(options.endpoint === undefined ? "complete" : "unknown")
  const remove = options.versionedDelete === "versions" ? deleteVersions : deleteObjects

  return Storage.of({
    description: `s3://${options.bucket} at ${options.endpoint ?? `AWS ${options.region}`}`,
    identity: { store: "s3", S3_ENDPOINT: hostOf(options.endpoint), S3_BUCKET: options.bucket },
    probe: probe(bucket),
    list: (prefix, options) => list(bucket, prefix, options?.after),
    delete: (keys) => remove(bucket, dialect, keys),
    put: Effect.fn("S3.put")((key, body, sizeBytes, options) =>
      upload(bucket, multipartAboveBytes, key, exactly(body, key, sizeBytes), sizeBytes, options)
    ),
    copy: (from, to) => copyObject(bucket, options.copyInPartsAboveBytes ?? copyMaxBytes, from, to),
    concat: (sources, to, options) =>
      concatenate(
        bucket,
        (key, range) => readObject(bucket, requestTimeout, key, range),
        (key) => headObject(bucket, key),
        sources,
        to,
        options
      ),
    get: (key, range) => readObject(bucket, requestTimeout, key, range),
    presign: (key, life) => presignedGet(bucket, key, life),
    head: (key) => headObject(bucket, key),
    multiparts: (prefix) => multiparts(bucket, searched, prefix),
    multipartSearch: (prefix, mayWrite) => search(bucket, searched, prefix, mayWrite),
    abortMultipart: (upload) => abortUpload(bucket, upload),
    skew: skew(bucket),
    traits: traits(bucket, options.versionedDelete),
    lifecycle: lifecycle(bucket),
    server: serverOf(bucket)
  })
})

/**
 * Returns the host and port of an endpoint. All of AWS is one place, because a bucket's name is unique there,
 * whichever of AWS's names leads to it. China's partition is a place of its own.
 */
export const hostOf = (endpoint: string | undefined): string => {
  if (endpoint === undefined) return "AWS"
  const host = URL.canParse(endpoint) ? new URL(endpoint).host : endpoint
  if (host.endsWith(".amazonaws.com")) return "AWS"
  return host.endsWith(".amazonaws.com.cn") ? "AWS China" : host
}
