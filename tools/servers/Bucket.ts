/** Creates a bucket with nothing but node: the one S3 request these scripts make themselves. */
import { createHash, createHmac } from "node:crypto"

const sha256 = (text) => createHash("sha256").update(text).digest("hex")
const hmac = (key, text) => createHmac("sha256", key).update(text).digest()

/** AWS Signature Version 4 of a request without a body and without a query. */
const sign = ({ endpoint, region, accessKeyId, secretAccessKey }, method, path) => {
  const date = new Date().toISOString().replace(/[-:]|\.\d+/g, "")
  const day = date.slice(0, 8)
  const payload = sha256("")
  const names = "host;x-amz-content-sha256;x-amz-date"
  const headers = `host:${new URL(endpoint).host}\nx-amz-content-sha256:${payload}\nx-amz-date:${date}\n`
  const request = sha256([method, path, "", headers, names, payload].join("\n"))
  const scope = `${day}/${region}/s3/aws4_request`
  const key = [day, region, "s3", "aws4_request"].reduce(hmac, `AWS4${secretAccessKey}`)
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${request}`).toString("hex")
  return {
    "x-amz-date": date,
    "x-amz-content-sha256": payload,
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  }
}

/** Whether the bucket exists after one attempt; false while the server is not yet ready to answer. */
export const createBucket = async (s3) => {
  const path = `/${s3.bucket}`
  try {
    const response = await fetch(s3.endpoint + path, { method: "PUT", headers: sign(s3, "PUT", path) })
    await response.arrayBuffer()
    return response.ok || response.status === 409
  } catch {
    return false
  }
}
