/**
 * Addresses under which a client reads an object without credentials of its own: Signature Version 4 in the query
 * (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html). No request is sent.
 */
import { createHash, createHmac } from "node:crypto"
import { Clock, Duration, Effect } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type { Address, Bucket, Signer } from "./Bucket.ts"

/** Implements `Storage.presign` for a bucket. */
export const presignedGet = Effect.fn("S3.presign")(function* (
  { calls, failed }: Pick<Bucket, "calls" | "failed">,
  key: ObjectKey,
  life: Duration.Duration
): Effect.fn.Return<string, StorageError> {
  const { address, signer } = yield* Effect.tryPromise({
    try: () => calls.address(key),
    catch: (cause) => failed("get", key, cause)
  })
  const now = yield* Clock.currentTimeMillis
  return signed(address, signer, now, Math.floor(Duration.toSeconds(life)))
})

/** Returns the address with its signature. It allows GET alone, for `seconds` from `now`. */
export const signed = (
  { origin, path }: Address,
  { credentials, region }: Signer,
  now: number,
  seconds: number
): string => {
  const at = new Date(now).toISOString().replace(/[-:]|\.\d+/g, "")
  const scope = `${at.slice(0, 8)}/${region}/s3/aws4_request`
  const query = [
    ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
    ["X-Amz-Credential", `${credentials.accessKeyId}/${scope}`],
    ["X-Amz-Date", at],
    ["X-Amz-Expires", String(seconds)],
    ...(credentials.sessionToken === undefined ? [] : [["X-Amz-Security-Token", credentials.sessionToken]]),
    ["X-Amz-SignedHeaders", "host"]
  ]
    .map((pair) => pair.map(encoded).join("="))
    .join("&")
  const request = ["GET", path, query, `host:${new URL(origin).host}`, "", "host", "UNSIGNED-PAYLOAD"].join(
    "\n"
  )
  const toSign = ["AWS4-HMAC-SHA256", at, scope, createHash("sha256").update(request).digest("hex")].join(
    "\n"
  )
  const key = scope.split("/").reduce(hmac, Buffer.from(`AWS4${credentials.secretAccessKey}`))
  return `${origin}${path}?${query}&X-Amz-Signature=${hmac(key, toSign).toString("hex")}`
}

const hmac = (key: Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest()

/** Encodes as the signature's rules demand: all but letters, digits and `-._~`. */
const encoded = (text = ""): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
