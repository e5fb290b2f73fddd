/**
 * The store on S3 and what speaks its protocol. The only file that imports the AWS SDK.
 *
 * Invariants: a request is repeated only where repeating is harmless, by us and never by the SDK, on Effect's
 * `Clock`, bounded in number and time; interruption aborts the request; no credentials reach an error.
 *
 * It does not create buckets, and changes nothing of their configuration.
 */
import { createHash } from "node:crypto"
import { Readable } from "node:stream"
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand
} from "@aws-sdk/client-s3"
import { Duration, Effect, Layer, Redacted, Ref, Stream } from "effect"
import { exactly } from "./Body.ts"
import { Storage } from "./Storage.ts"
import type { Bucket, Calls, Dated, Listing } from "./s3/Bucket.ts"
import { copyMaxBytes, copyObject } from "./s3/Copying.ts"
import { deleteObjects } from "./s3/Deletion.ts"
import { aws } from "./s3/Dialect.ts"
import { fromClient, scrubber } from "./s3/Failure.ts"
import { list, probe } from "./s3/Listing.ts"
import { readListing } from "./s3/ListingText.ts"
import { abortUpload, listUploads } from "./s3/Multipart.ts"
import { headObject, openObject } from "./s3/Reading.ts"
import * as Requests from "./s3/Requests.ts"
import { skew } from "./s3/Skew.ts"
import { traits, type VersionedDelete } from "./s3/Traits.ts"
import { upload } from "./s3/Upload.ts"
import { deleteVersions } from "./s3/Versions.ts"

export interface S3Options {
  readonly bucket: string
  /** The bucket's region. Stores that have none mostly want `us-east-1`, which signatures must then name. */
  readonly region: string
  /** URL of the store; default is AWS's for the region. */
  readonly endpoint?: string | undefined
  /**
   * Whether the bucket goes into the path (`http://host/bucket/key`) and not into the host name. Default: with an
   * `endpoint` yes, because few other stores have a DNS name a bucket; on AWS no, which wants to retire it.
   */
  readonly forcePathStyle?: boolean | undefined
  /** Default: the SDK's chain (environment, profile, web identity, container, instance). */
  readonly credentials?:
    | {
        readonly accessKeyId: Redacted.Redacted
        readonly secretAccessKey: Redacted.Redacted
        readonly sessionToken?: Redacted.Redacted | undefined
      }
    | undefined
  /**
   * How long an answer, or the next bytes of one, may take. Default 30 s: a loaded store needs seconds for a batch
   * of 1000 deletes. Too low repeats work that is still going on; too high makes one dead connection hold up a
   * sweep for as long.
   */
  readonly requestTimeout?: Duration.Duration | undefined
  /** How long connecting may take. Default 5 s, in which the kernel sends a lost SYN twice again (1 s, 3 s). */
  readonly connectTimeout?: Duration.Duration | undefined
  /**
   * Connections at once, at least 3. Default 50, the SDK's own; each costs a file descriptor. Three quarters may be
   * taken by objects on their way in and out, the rest is for short requests. Too low makes requests wait for each
   * other, without limit, since the store is not to blame.
   */
  readonly maxConnections?: number | undefined
  /**
   * How often a request is repeated that may be: all but a streamed `put`, and a `get` until its first byte. Default
   * 4, after about 0.2, 0.4, 0.8 and 1.6 s: a store that has not recovered by then is left to the next sweep.
   */
  readonly retries?: number | undefined
  /** When to stop repeating, whatever `retries` says. Default 1 minute: two requests without any answer. */
  readonly retryWithin?: Duration.Duration | undefined
  /**
   * Bodies longer than this go in parts. Default 64 MiB: below, one request is twice as fast (measured) and a crash
   * leaves nothing; above, a failed part is sent again and not everything. S3 takes at most 5 GiB in one request.
   */
  readonly multipartAboveBytes?: number | undefined
  /** Objects longer than this are copied in parts. Default 5 GiB, the most that S3 copies in one request. */
  readonly copyInPartsAboveBytes?: number | undefined
  /**
   * What a delete does in a versioned bucket. `markers`, the default: it leaves delete markers, and the bytes go when
   * the bucket's lifecycle says so, or never. `versions`: it lists the versions of every key, a request each, and
   * deletes them all, so that the bytes are gone and nothing brings them back. Without versions the latter works too.
   */
  readonly versionedDelete?: VersionedDelete | undefined
}

/** The store in a bucket. Connects at the first request; `probe` tells whether the settings are right. */
export const layer = (options: S3Options): Layer.Layer<Storage> => Layer.effect(Storage, make(options))

const make = Effect.fnUntraced(function* (options: S3Options) {
  const maxConnections = Math.max(Requests.connectionsMin, options.maxConnections ?? 50)
  const requestTimeout = options.requestTimeout ?? Duration.seconds(30)
  const multipartAboveBytes = options.multipartAboveBytes ?? 64 * 1024 * 1024
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => connect(options, maxConnections)),
    (client) => Effect.sync(() => client.destroy())
  )
  const secrets = Object.values(options.credentials ?? {}).filter((secret) => secret !== undefined)
  const scrub = scrubber(secrets.map(Redacted.value))
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
  const bucket: Bucket = { name: options.bucket, calls: callsOf(client, options.bucket), requests, failed }
  const dialect = yield* Ref.make(aws)
  const remove = options.versionedDelete === "versions" ? deleteVersions : deleteObjects

  return Storage.of({
    description: `s3://${options.bucket} at ${options.endpoint ?? `AWS ${options.region}`}`,
    probe: probe(bucket),
    list: (prefix, options) => list(bucket, prefix, options?.after),
    delete: (keys) => remove(bucket, dialect, keys),
    put: Effect.fn("S3.put")((key, body, sizeBytes, options) =>
      upload(bucket, multipartAboveBytes, key, exactly(body, key, sizeBytes), sizeBytes, options)
    ),
    copy: (from, to) => copyObject(bucket, options.copyInPartsAboveBytes ?? copyMaxBytes, from, to),
    get: (key, range) => Stream.unwrap(openObject(bucket, requestTimeout, key, range)),
    head: (key) => headObject(bucket, key),
    multiparts: (prefix) => listUploads(bucket, prefix),
    abortMultipart: (upload) => abortUpload(bucket, upload),
    skew: skew(bucket),
    traits: traits(bucket, options.versionedDelete)
  })
})

const silent = () => undefined

const connect = (options: S3Options, maxConnections: number): S3Client => {
  // The SDK announces on stderr, where logs are lines of JSON, that releases of 2027 will need a newer Node. The exact
  // pin in package.json says that already.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true"
  const { credentials, endpoint } = options
  return new S3Client({
    region: options.region,
    ...(endpoint === undefined ? {} : { endpoint }),
    forcePathStyle: options.forcePathStyle ?? endpoint !== undefined,
    ...(credentials === undefined
      ? {}
      : {
          credentials: {
            accessKeyId: Redacted.value(credentials.accessKeyId),
            secretAccessKey: Redacted.value(credentials.secretAccessKey),
            ...(credentials.sessionToken && { sessionToken: Redacted.value(credentials.sessionToken) })
          }
        }),
    maxAttempts: 1,
    // The SDK would otherwise warn on the console, of what we report as an error.
    logger: { debug: silent, info: silent, warn: silent, error: silent },
    // The default adds checksums that some other stores refuse.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: {
      connectionTimeout: Duration.toMillis(options.connectTimeout ?? Duration.seconds(5)),
      requestTimeout: 0,
      socketTimeout: 0,
      httpAgent: { keepAlive: true, maxSockets: maxConnections },
      httpsAgent: { keepAlive: true, maxSockets: maxConnections }
    }
  })
}

/** The calls, as commands of the SDK. */
const callsOf = (client: S3Client, Bucket: string): Calls => ({
  list: (Prefix, { after, token }, MaxKeys, abortSignal) => {
    const from = token === undefined ? { StartAfter: after } : { ContinuationToken: token }
    // XML has no way to write all the keys that S3 takes, hence the encoding.
    const command = new ListObjectsV2Command({ Bucket, Prefix, MaxKeys, EncodingType: "url", ...from })
    return sendToList(client, command, abortSignal)
  },
  listVersions: (Prefix, { id: VersionIdMarker, key: KeyMarker }, abortSignal) => {
    const from = { KeyMarker, VersionIdMarker }
    const command = new ListObjectVersionsCommand({ Bucket, Prefix, EncodingType: "url", ...from })
    return client.send(command, { abortSignal })
  },
  listUploads: (Prefix, { id: UploadIdMarker, key: KeyMarker }, abortSignal) => {
    const from = { KeyMarker, UploadIdMarker }
    const command = new ListMultipartUploadsCommand({ Bucket, Prefix, EncodingType: "url", ...from })
    return client.send(command, { abortSignal })
  },
  listParts: (upload, PartNumberMarker, abortSignal) =>
    client.send(new ListPartsCommand({ Bucket, ...upload, PartNumberMarker }), { abortSignal }),
  deleteBatch: (targets, withMd5, abortSignal) => {
    const Objects = targets.map(({ key, versionId }) => ({ Key: key, VersionId: versionId }))
    const command = new DeleteObjectsCommand({ Bucket, Delete: { Objects } })
    if (withMd5) {
      command.middlewareStack.add(
        (next) => (args) => {
          addMd5(args.request)
          return next(args)
        },
        // Behind the checksum, and before signing, which must cover it.
        { step: "build", name: "md5", priority: "low" }
      )
    }
    return client.send(command, { abortSignal })
  },
  deleteOne: ({ key, versionId }, abortSignal) =>
    client.send(new DeleteObjectCommand({ Bucket, Key: key, VersionId: versionId }), { abortSignal }),
  put: (Key, Body, ContentLength, abortSignal) =>
    client.send(new PutObjectCommand({ Bucket, Key, Body, ContentLength }), { abortSignal }),
  copy: (from, Key, abortSignal) =>
    client.send(new CopyObjectCommand({ Bucket, Key, CopySource: copySource(Bucket, from) }), {
      abortSignal
    }),
  createUpload: async (Key, abortSignal) => {
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }), { abortSignal })
    return UploadId
  },
  uploadPart: async (upload, PartNumber, Body, abortSignal) => {
    const command = new UploadPartCommand({ Bucket, ...upload, PartNumber, Body })
    const { ETag } = await client.send(command, { abortSignal })
    return { ETag, PartNumber }
  },
  copyPart: async (upload, PartNumber, { etag, key }, { end, start }, abortSignal) => {
    const command = new UploadPartCopyCommand({
      Bucket,
      ...upload,
      PartNumber,
      CopySource: copySource(Bucket, key),
      CopySourceIfMatch: etag,
      CopySourceRange: `bytes=${start}-${end}`
    })
    const { CopyPartResult } = await client.send(command, { abortSignal })
    return { ETag: CopyPartResult?.ETag, PartNumber }
  },
  completeUpload: (upload, parts, abortSignal) =>
    client.send(
      new CompleteMultipartUploadCommand({ Bucket, ...upload, MultipartUpload: { Parts: [...parts] } }),
      { abortSignal }
    ),
  abortUpload: (upload, abortSignal) =>
    client.send(new AbortMultipartUploadCommand({ Bucket, ...upload }), { abortSignal }),
  get: async (Key, range, abortSignal) => {
    const Range = range === undefined ? undefined : `bytes=${range.start}-${range.end ?? ""}`
    const { Body, $metadata } = await client.send(new GetObjectCommand({ Bucket, Key, Range }), {
      abortSignal
    })
    return { body: Body instanceof Readable ? Body : undefined, status: $metadata.httpStatusCode }
  },
  head: (Key, abortSignal) => client.send(new HeadObjectCommand({ Bucket, Key }), { abortSignal }),
  versioning: async (abortSignal) => {
    const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket }), { abortSignal })
    return Status
  },
  objectLock: async (abortSignal) => {
    const command = new GetObjectLockConfigurationCommand({ Bucket })
    const { ObjectLockConfiguration } = await client.send(command, { abortSignal })
    return ObjectLockConfiguration?.ObjectLockEnabled
  },
  date: async (now, abortSignal) => {
    const command = new HeadBucketCommand({ Bucket })
    let dated: Dated | undefined
    // The client shows no headers. This step is the last before the network and the first behind it.
    command.middlewareStack.add(
      (next) => async (args) => {
        const sentAt = now()
        const result = await next(args)
        dated = { date: dateOf(result.response), sentAt, answeredAt: now() }
        return result
      },
      { step: "deserialize", name: "date" }
    )
    await client.send(command, { abortSignal })
    return dated ?? { date: undefined, sentAt: 0, answeredAt: 0 }
  }
})

/** In place of the checksum by which the SDK has replaced it. */
const addMd5 = (request: unknown): void => {
  const { headers, body } = request as { readonly headers: Record<string, string>; readonly body?: unknown }
  for (const name of Object.keys(headers)) if (/^x-amz-(sdk-)?checksum-/i.test(name)) delete headers[name]
  headers["content-md5"] = createHash("md5").update(String(body)).digest("base64")
}

/**
 * The SDK signs, sends, and reads errors; its parser would take most of a listing's time. So the document is read before
 * it comes there, which then has nothing to read, unless it is of a form that only the SDK knows.
 */
const sendToList = async (
  client: S3Client,
  command: ListObjectsV2Command,
  abortSignal: AbortSignal
): Promise<Listing> => {
  let listing: Listing | undefined
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const response = result.response as { readonly statusCode?: number; body?: unknown }
      if (response.statusCode !== 200 || !(response.body instanceof Readable)) return result
      const bytes = Buffer.concat(await response.body.toArray())
      listing = readListing(bytes.toString("utf8"))
      response.body = listing === undefined ? bytes : nothingListed
      return result
    },
    // The last step before the network and the first behind it.
    { step: "deserialize", name: "listing" }
  )
  const answer = await client.send(command, { abortSignal })
  return listing ?? answer
}

const nothingListed = Buffer.from("<ListBucketResult/>")

/** A key as a source, which is a path: its slashes stay. */
const copySource = (bucket: string, key: string): string =>
  `${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`

const dateOf = (response: unknown): string | undefined => {
  const { headers } = response as { readonly headers?: Readonly<Record<string, string>> }
  return headers?.date
}
