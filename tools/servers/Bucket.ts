/** Signed requests to an S3 server, with nothing but Node: those that these programs make themselves. */
import { createHash, createHmac } from "node:crypto"

/** Where an S3 server is, and how to sign in. */
export interface S3Account {
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly bucket: string
}

export interface S3Place extends S3Account {
  readonly endpoint: string
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest()

/** The parameters of a request, in any order. */
export type Query = Readonly<Record<string, string>>

/** Returns a query as Signature Version 4 wants it: sorted, and with more characters encoded than JavaScript encodes. */
const encoded = (query: Query): string => {
  const encode = (text: string) =>
    encodeURIComponent(text).replace(
      /[!'()*]/g,
      (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
    )
  return Object.entries(query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&")
}

/** Returns the headers of AWS Signature Version 4 for a request without a body. */
const sign = (
  { endpoint, region, accessKeyId, secretAccessKey }: Omit<S3Place, "bucket">,
  method: string,
  path: string,
  query: string
): Record<string, string> => {
  const date = new Date().toISOString().replace(/[-:]|\.\d+/g, "")
  const day = date.slice(0, 8)
  const payload = sha256("")
  const names = "host;x-amz-content-sha256;x-amz-date"
  const headers = `host:${new URL(endpoint).host}\nx-amz-content-sha256:${payload}\nx-amz-date:${date}\n`
  const request = sha256([method, path, query, headers, names, payload].join("\n"))
  const scope = `${day}/${region}/s3/aws4_request`
  const key = hmac(hmac(hmac(hmac(`AWS4${secretAccessKey}`, day), region), "s3"), "aws4_request")
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${request}`).toString("hex")
  const credential = `${accessKeyId}/${scope}`
  return {
    "x-amz-date": date,
    "x-amz-content-sha256": payload,
    authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`
  }
}

/** Sends a signed request without a body. */
export const send = (
  s3: Omit<S3Place, "bucket">,
  method: string,
  path: string,
  query: Query = {}
): Promise<Response> => {
  const text = encoded(query)
  const headers = sign(s3, method, path, text)
  return fetch(`${s3.endpoint}${path}${text === "" ? "" : `?${text}`}`, { method, headers })
}

/** Tells whether the bucket exists after one attempt. Returns false while the server does not answer yet. */
export const createBucket = async (s3: S3Place): Promise<boolean> => {
  try {
    const response = await send(s3, "PUT", `/${s3.bucket}`)
    await response.arrayBuffer()
    return response.ok || response.status === 409
  } catch {
    return false
  }
}
