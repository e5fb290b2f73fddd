/** Signature Version 4 (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html). */
import { createHash, createHmac } from "node:crypto"

/** The name of the algorithm, as requests and signatures have it. */
export const algorithm = "AWS4-HMAC-SHA256"

/** Returns an instant as signatures name it, for example `20130524T000000Z`. */
export const timeOf = (now: number): string => new Date(now).toISOString().replace(/[-:]|\.\d+/g, "")

/** Returns what a key signs: requests of one day to one region. `at` is an instant of {@link timeOf}. */
export const scopeOf = (at: string, region: string): string => `${at.slice(0, 8)}/${region}/s3/aws4_request`

/** Returns the key that signs all requests of a scope. */
export const keyOf = (secret: string, scope: string): Buffer =>
  scope.split("/").reduce(hmac, Buffer.from(`AWS4${secret}`))

/** Returns the signature of a request in its canonical form. */
export const signatureOf = (key: Buffer, at: string, scope: string, canonical: string): string => {
  const hash = createHash("sha256").update(canonical).digest("hex")
  return hmac(key, [algorithm, at, scope, hash].join("\n")).toString("hex")
}

/** Encodes as the signature's rules demand: all but letters, digits and `-._~`. */
export const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)

const hmac = (key: Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest()
