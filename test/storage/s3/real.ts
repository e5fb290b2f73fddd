/**
 * A real S3 server for tests, named by `REAL_S3_*` in the environment (tools/servers sets it), and what it is
 * known to do differently. Without it the tests are skipped, and say so.
 */
import { randomUUID } from "node:crypto"
import {
  AbortMultipartUploadCommand,
  type BucketVersioningStatus,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  type ObjectIdentifier,
  PutBucketVersioningCommand,
  S3Client
} from "@aws-sdk/client-s3"
import { describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import * as S3 from "../../../src/storage/S3.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import type { ContractOptions } from "../contract.ts"

const {
  REAL_S3_ENDPOINT: endpoint,
  REAL_S3_REGION: region = "us-east-1",
  REAL_S3_ACCESS_KEY_ID: accessKeyId = "",
  REAL_S3_SECRET_ACCESS_KEY: secretAccessKey = "",
  REAL_S3_BUCKET: bucket = "artifact-gc-test",
  REAL_S3_SERVER: server = ""
} = process.env

interface Dialect extends ContractOptions {
  /** An unfinished upload is listed under its exact key, and under no shorter prefix. */
  readonly findsUploadsByKeyOnly?: boolean
  /** It does not find a source with "%" in its key when that is copied in parts. */
  readonly losesPercentInParts?: boolean
}

/** What servers are known to do differently, by `REAL_S3_SERVER`. None of it meets the keys that we make. */
const dialects: Record<string, Dialect> = {
  radosgw: { losesPercentInParts: true },
  minio: {
    findsUploadsByKeyOnly: true,
    hidesNested: "the walk of its directories stops at an object",
    refused: [
      {
        why: "segments become directories of the server",
        keys: (key) =>
          // The contract's keys follow a "/".
          /^\/|\/\/|(^|\/)\.\.?(\/|$)/.test(key) ||
          key.split("/").some((segment) => Buffer.byteLength(segment) > 255) ||
          // A name is longer on disk when it ends in "/".
          (key.endsWith("/") && Buffer.byteLength(key.split("/").at(-2) ?? "") > 240)
      }
    ]
  }
}

/** Servers that the contract cannot be asked of. */
const unfit: Record<string, string> = {
  versitygw: "v1.8.0 (posix) stores a//b as a/b and fails puts (409) into a directory that a delete empties"
}

export const dialect: Dialect = dialects[server] ?? {}

/** Declares the tests of `what`, given the server's name, or says why they are skipped. */
export const onRealS3 = (what: string, declare: (name: string) => void): void => {
  if (endpoint === undefined) {
    describe(`${what} on a real S3`, () => {
      it.skip("needs REAL_S3_ENDPOINT", () => undefined)
    })
  } else if (unfit[server] !== undefined) {
    describe(`${what} on ${server}`, () => {
      it.skip(`is not for this server: ${unfit[server]}`, () => undefined)
    })
  } else {
    declare(server || endpoint)
  }
}

export const options: S3.S3Options = {
  bucket,
  region,
  endpoint,
  credentials: { accessKeyId: Redacted.make(accessKeyId), secretAccessKey: Redacted.make(secretAccessKey) },
  // Few connections, so that one that is lost is missed; few bytes, so that the contract's bodies take all ways in.
  maxConnections: 8,
  multipartAboveBytes: 5 * 1024 * 1024,
  copyInPartsAboveBytes: 5 * 1024 * 1024
}

/** The SDK itself, for what `Storage` does not show and for what others do. */
export const sdk = Effect.acquireRelease(
  Effect.sync(
    () =>
      new S3Client({
        region,
        forcePathStyle: true,
        credentials: { accessKeyId, secretAccessKey },
        ...(endpoint === undefined ? {} : { endpoint })
      })
  ),
  (client) => Effect.sync(() => client.destroy())
)

/** Makes the bucket if it is not there; it stays, since it may be somebody's. */
const bucketThere = Layer.effectDiscard(
  Effect.gen(function* () {
    const client = yield* sdk
    yield* Effect.promise(() =>
      client.send(new CreateBucketCommand({ Bucket: bucket })).catch(() => undefined)
    )
  })
)
export const layer = S3.layer(options).pipe(Layer.provide(bucketThere))

export const storageOf = (options: S3.S3Options) =>
  Effect.map(Layer.build(S3.layer(options)), Context.get(Storage))

/** A bucket of its own for a test, which goes with all its versions, locked or not, and uploads when the test is over. */
export const ownBucket = Effect.fnUntraced(function* (isLockable = false) {
  const client = yield* sdk
  const Bucket = `artifact-gc-${randomUUID()}`
  yield* Effect.acquireRelease(
    Effect.promise(() =>
      client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: isLockable }))
    ),
    () => Effect.promise(() => destroyBucket(client, Bucket))
  )
  return {
    client,
    Bucket,
    storage: (versionedDelete?: S3.S3Options["versionedDelete"]) =>
      storageOf({ ...options, bucket: Bucket, versionedDelete }),
    setVersioning: (Status: BucketVersioningStatus) =>
      Effect.promise(() =>
        client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }))
      ),
    /** The ids of a key's versions, newest first, without markers. */
    versionsOf: (key: string) =>
      Effect.map(
        Effect.promise(() => versionsIn(client, Bucket)),
        ({ objects }) => objects.filter(({ Key }) => Key === key).map(({ VersionId }) => VersionId)
      ),
    /** What the bucket really holds, as `key` or `key (marker)`, once for each version. */
    held: Effect.promise(async () => {
      const { objects, markers } = await versionsIn(client, Bucket)
      return [...objects.map(({ Key }) => `${Key}`), ...markers.map(({ Key }) => `${Key} (marker)`)].sort()
    })
  }
})

const versionsIn = async (client: S3Client, Bucket: string) => {
  const objects: Array<ObjectIdentifier> = []
  const markers: Array<ObjectIdentifier> = []
  let page: Partial<ListObjectVersionsCommandOutput> = {}
  do {
    const from = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker }
    page = await client.send(new ListObjectVersionsCommand({ Bucket, ...from }))
    objects.push(...(page.Versions ?? []).map(({ Key, VersionId }) => ({ Key, VersionId })))
    markers.push(...(page.DeleteMarkers ?? []).map(({ Key, VersionId }) => ({ Key, VersionId })))
  } while (page.IsTruncated === true)
  return { objects, markers }
}

const destroyBucket = async (client: S3Client, Bucket: string) => {
  const { markers, objects } = await versionsIn(client, Bucket)
  const all = [...objects, ...markers]
  for (let start = 0; start < all.length; start += 1000) {
    const Objects = all.slice(start, start + 1000)
    await client.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects }, BypassGovernanceRetention: true })
    )
  }
  for (;;) {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }))
    if (Uploads.length === 0) break
    await Promise.all(
      Uploads.map(({ Key, UploadId }) =>
        client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
      )
    )
  }
  await client.send(new DeleteBucketCommand({ Bucket }))
}
