/** The calls of Bucket.ts as commands of the SDK. */
import { createHash } from "node:crypto"
import { Readable } from "node:stream"
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketLifecycleConfigurationCommand,
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
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand
} from "@aws-sdk/client-s3"
import type { Calls, Dated, Listing } from "./Bucket.ts"
import { answerWith, bodyOf, directGet } from "./DirectGet.ts"
import { OtherAnswer } from "./Documents.ts"
import { readListing } from "./ListingText.ts"

/** Returns the calls to one bucket. `readers` has the endpoint at which clients read. */
export const callsOf = (client: S3Client, bucket: string, readers: S3Client): Calls => ({
  ...listCalls(client, bucket),
  ...deleteCalls(client, bucket),
  ...objectCalls(client, bucket),
  ...uploadCalls(client, bucket),
  ...addressCalls(readers, bucket),
  ...bucketCalls(client, bucket)
})

const listCalls = (
  client: S3Client,
  Bucket: string
): Pick<Calls, "list" | "listVersions" | "listUploads" | "listParts"> => ({
  list: (Prefix, { after, token }, MaxKeys, abortSignal) => {
    const from = token === undefined ? { StartAfter: after } : { ContinuationToken: token }
    // XML cannot represent every key that S3 accepts, so listings ask for encoded names.
    const command = new ListObjectsV2Command({ Bucket, Prefix, MaxKeys, EncodingType: "url", ...from })
    return sendList(client, command, abortSignal)
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
    client.send(new ListPartsCommand({ Bucket, ...upload, PartNumberMarker }), { abortSignal })
})

/**
 * Sends a listing and reads its document before the SDK's parser, which would take most of the time. The SDK
 * still signs, sends and reads errors. It also parses a document whose form `readListing` does not know.
 */
const sendList = async (
  client: S3Client,
  command: ListObjectsV2Command,
  abortSignal: AbortSignal
): Promise<Listing> => {
  let listing: Listing | undefined
  let objects = 0
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const response = result.response as { readonly statusCode?: number; body?: unknown }
      if (response.statusCode !== 200 || !Buffer.isBuffer(response.body)) return result
      const text = response.body.toString("utf8")
      listing = readListing(text)
      if (listing !== undefined) response.body = emptyListing
      else objects = text.match(/<(?:[\w.-]+:)?Contents[\s/>]/g)?.length ?? 0
      return result
    },
    // Documents.ts has read the bytes before, and the SDK's parser follows.
    { step: "deserialize", name: "listing" }
  )
  const answer = await client.send(command, { abortSignal })
  if (listing !== undefined) return listing
  // The SDK's parser passes over entries in forms that it does not know.
  const read = answer.Contents?.length ?? 0
  if (read !== objects) {
    throw new OtherAnswer(`the listing has ${objects} objects, of which only ${read} could be read`)
  }
  return answer
}

const emptyListing = Buffer.from("<ListBucketResult/>")

const deleteCalls = (client: S3Client, Bucket: string): Pick<Calls, "deleteBatch" | "deleteOne"> => ({
  deleteBatch: (targets, withMd5, abortSignal) => {
    const Objects = targets.map(({ key, versionId }) => ({ Key: key, VersionId: versionId }))
    const command = new DeleteObjectsCommand({ Bucket, Delete: { Objects } })
    if (withMd5) {
      command.middlewareStack.add(
        (next) => (args) => {
          addMd5(args.request)
          return next(args)
        },
        // After the SDK's checksum, and before signing, which must cover the header.
        { step: "build", name: "md5", priority: "low" }
      )
    }
    return client.send(command, { abortSignal })
  },
  deleteOne: ({ key, versionId }, abortSignal) =>
    client.send(new DeleteObjectCommand({ Bucket, Key: key, VersionId: versionId }), { abortSignal })
})

/** Replaces the SDK's checksum by the Content-MD5 that the SDK no longer sends. */
const addMd5 = (request: unknown): void => {
  const { headers, body } = request as { readonly headers: Record<string, string>; readonly body?: unknown }
  for (const name of Object.keys(headers)) if (/^x-amz-(sdk-)?checksum-/i.test(name)) delete headers[name]
  headers["content-md5"] = createHash("md5").update(String(body)).digest("base64")
}

const objectCalls = (client: S3Client, Bucket: string): Pick<Calls, "put" | "copy" | "get" | "head"> => ({
  ...getCalls(client, Bucket),
  put: (Key, Body, ContentLength, abortSignal, sha256) => {
    const command = new PutObjectCommand({ Bucket, Key, Body, ContentLength })
    if (sha256 !== undefined) {
      command.middlewareStack.add(
        (next) => (args) => {
          giveHash(args.request, sha256)
          return next(args)
        },
        { step: "build", name: "sha256" }
      )
    }
    return client.send(command, { abortSignal })
  },
  copy: (from, Key, abortSignal) =>
    client.send(new CopyObjectCommand({ Bucket, Key, CopySource: copySource(Bucket, from) }), {
      abortSignal
    }),
  head: (Key, abortSignal) => client.send(new HeadObjectCommand({ Bucket, Key }), { abortSignal })
})

const getCalls = (client: S3Client, Bucket: string): Pick<Calls, "get"> => {
  const direct = directGet(client)
  return {
    get: async (Key, range, abortSignal) => {
      const Range = range === undefined ? undefined : `bytes=${range.start}-${range.end ?? ""}`
      const outcome = await direct.send(Key, Range, abortSignal)
      const body = outcome === null ? null : bodyOf(outcome, Range)
      if (body !== null) return { body, status: Range === undefined ? 200 : 206 }
      const command = new GetObjectCommand({ Bucket, Key, Range })
      if (outcome === null) direct.learn(command, Key)
      else answerWith(command, outcome)
      const { Body, $metadata } = await client.send(command, { abortSignal })
      return { body: Body instanceof Readable ? Body : undefined, status: $metadata.httpStatusCode }
    }
  }
}

/** The SDK hashes a body in memory for its signature, and signs a stream without its bytes unless their hash is given. */
const giveHash = (request: unknown, sha256: string): void => {
  const { headers } = request as { readonly headers: Record<string, string> }
  headers["x-amz-content-sha256"] = sha256
}

const addressCalls = (client: S3Client, Bucket: string): Pick<Calls, "address"> => ({
  address: async (Key) => {
    const command = new GetObjectCommand({ Bucket, Key })
    let request: AddressedRequest | undefined
    // The SDK knows how each endpoint names a bucket. This step is the last before signing.
    command.middlewareStack.add(
      () => (args) => {
        request = args.request as AddressedRequest
        return Promise.reject(notSent)
      },
      { step: "finalizeRequest", name: "address", priority: "high" }
    )
    await client.send(command).catch((error: unknown) => {
      if (error !== notSent) throw error
    })
    if (request === undefined) throw new Error("The SDK made no request")
    const { hostname, path, port, protocol } = request
    const address = { origin: `${protocol}//${hostname}${port === undefined ? "" : `:${port}`}`, path }
    const signer = { region: await client.config.region(), credentials: await client.config.credentials() }
    return { address, signer }
  }
})

interface AddressedRequest {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number | undefined
  readonly path: string
}

const notSent = new Error("The request is not sent, because only its address is of interest")

/** Returns the name of a copy's source. It is a path, so the key's slashes are not encoded. */
const copySource = (bucket: string, key: string): string =>
  `${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`

const uploadCalls = (
  client: S3Client,
  Bucket: string
): Pick<Calls, "createUpload" | "uploadPart" | "copyPart" | "completeUpload" | "abortUpload"> => ({
  createUpload: async (Key, abortSignal) => {
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }), { abortSignal })
    return UploadId
  },
  uploadPart: async (upload, PartNumber, Body, ContentLength, abortSignal, sha256) => {
    const command = new UploadPartCommand({ Bucket, ...upload, PartNumber, Body, ContentLength })
    if (sha256 !== undefined) {
      command.middlewareStack.add(
        (next) => (args) => {
          giveHash(args.request, sha256)
          return next(args)
        },
        { step: "build", name: "sha256" }
      )
    }
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
    client.send(new AbortMultipartUploadCommand({ Bucket, ...upload }), { abortSignal })
})

const bucketCalls = (
  client: S3Client,
  Bucket: string
): Pick<Calls, "versioning" | "objectLock" | "lifecycle" | "date" | "lock"> => ({
  lock: ({ key: Key, versionId: VersionId }, abortSignal) =>
    client.send(new HeadObjectCommand({ Bucket, Key, VersionId }), { abortSignal }),
  versioning: async (abortSignal) => {
    const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket }), { abortSignal })
    return Status
  },
  objectLock: async (abortSignal) => {
    const command = new GetObjectLockConfigurationCommand({ Bucket })
    const { ObjectLockConfiguration } = await client.send(command, { abortSignal })
    return ObjectLockConfiguration?.ObjectLockEnabled
  },
  lifecycle: async (abortSignal) => {
    const command = new GetBucketLifecycleConfigurationCommand({ Bucket })
    const { Rules } = await client.send(command, { abortSignal })
    return Rules ?? []
  },
  date: async (now, abortSignal) => {
    const command = new HeadBucketCommand({ Bucket })
    let dated: Dated | undefined
    // The client exposes no headers. This step is the last before the network and the first one after it.
    command.middlewareStack.add(
      (next) => async (args) => {
        const sentAt = now()
        const result = await next(args)
        const { date, server } = headersOf(result.response)
        dated = { date, server, sentAt, answeredAt: now() }
        return result
      },
      { step: "deserialize", name: "date" }
    )
    await client.send(command, { abortSignal })
    return dated ?? { date: undefined, sentAt: 0, answeredAt: 0 }
  }
})

const headersOf = (response: unknown): Readonly<Record<string, string>> =>
  (response as { readonly headers?: Readonly<Record<string, string>> }).headers ?? {}
