/**
 * Addresses under which a client reads an object without credentials of its own: Signature Version 4 in the query
 * (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html). No request is sent.
 */
import { Clock, Duration, Effect } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { StorageError } from "../../domain/StorageError.ts"
import type { Address, Bucket, Signer } from "./Bucket.ts"
import { algorithm, encoded, keyOf, scopeOf, signatureOf, timeOf } from "./Signature.ts"

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
  const at = timeOf(now)
  const scope = scopeOf(at, region)
  const query = [
    ["X-Amz-Algorithm", algorithm],
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
  const signature = signatureOf(keyOf(credentials.secretAccessKey, scope), at, scope, request)
  return `${origin}${path}?${query}&X-Amz-Signature=${signature}`
}
