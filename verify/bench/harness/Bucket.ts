/**
 * Fills and lists a bucket. No question measures this, and every question waits for it. So it signs requests
 * itself, at a quarter of the SDK's cost. Keys must need no escaping.
 */
import { createHash, createHmac } from "node:crypto"
import { Agent, request } from "node:http"
import { ensure } from "./Question.ts"
import type { S3Server } from "./Servers.ts"

/** A bucket. */
export interface Bucket {
  /** Puts objects of `sizeBytes` bytes each. */
  readonly putAll: (keys: ReadonlyArray<string>, sizeBytes: number) => Promise<void>
  /** Lists the keys that begin with `prefix`. */
  readonly keys: (prefix: string) => Promise<ReadonlySet<string>>
  /** Deletes objects. */
  readonly deleteAll: (keys: ReadonlyArray<string>) => Promise<void>
  /** Closes the connections. */
  readonly close: () => void
}

const inFlight = 48

/** Opens a bucket. */
export const open = (s3: S3Server): Bucket => {
  const url = new URL(s3.endpoint)
  ensure(url.protocol === "http:", "the bench fills buckets over plain HTTP only")
  const agent = new Agent({ keepAlive: true, maxSockets: inFlight })
  const sign = signer(s3, url.host)

  const send = (method: string, path: string, query: string, body: Buffer | null): Promise<string> =>
    new Promise((resolve, reject) => {
      const headers = { ...sign(method, path, query), "content-length": body?.length ?? 0 }
      const { hostname: host, port } = url
      const sent = request(
        { agent, host, port, method, headers, path: query === "" ? path : `${path}?${query}` },
        (answer) => {
          const chunks: Array<Buffer> = []
          answer.on("data", (chunk: Buffer) => chunks.push(chunk))
          answer.once("error", reject)
          answer.once("end", () => {
            const text = Buffer.concat(chunks).toString("utf8")
            const { statusCode = 0 } = answer
            if (statusCode >= 200 && statusCode < 300) resolve(text)
            else reject(new Error(`${method} ${path}: HTTP ${statusCode} ${text.slice(0, 300)}`))
          })
        }
      )
      sent.once("error", reject)
      sent.end(body ?? undefined)
    })

  const forAll = async (keys: ReadonlyArray<string>, work: (key: string) => Promise<unknown>) => {
    let next = 0
    const worker = async () => {
      for (let key = keys[next++]; key !== undefined; key = keys[next++]) await work(key)
    }
    await Promise.all(Array.from({ length: inFlight }, worker))
  }

  return {
    putAll: (keys, sizeBytes) => {
      const body = Buffer.alloc(sizeBytes, "artifact-gc ")
      return forAll(keys, (key) => send("PUT", `/${s3.bucket}/${key}`, "", body))
    },
    deleteAll: (keys) => forAll(keys, (key) => send("DELETE", `/${s3.bucket}/${key}`, "", null)),
    keys: async (prefix) => {
      const found = new Set<string>()
      for (let after = ""; ; ) {
        // The signature requires parameters in order of their names.
        const query = `list-type=2&prefix=${encodeURIComponent(prefix)}&start-after=${encodeURIComponent(after)}`
        const page = await send("GET", `/${s3.bucket}`, query, null)
        for (const [, key = ""] of page.matchAll(/<Key>([^<]*)<\/Key>/g)) {
          found.add(key)
          after = key
        }
        if (!page.includes("<IsTruncated>true</IsTruncated>")) return found
      }
    },
    close: () => agent.destroy()
  }
}

/**
 * Signs requests with AWS Signature Version 4, without the body. Its length is in a header, which the server
 * checks.
 */
const signer = ({ region, accessKeyId, secretAccessKey }: S3Server, host: string) => {
  const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest()
  const names = "host;x-amz-content-sha256;x-amz-date"
  const payload = "UNSIGNED-PAYLOAD"
  let scope = ""
  let key = Buffer.alloc(0)
  return (method: string, path: string, query: string) => {
    const date = new Date().toISOString().replace(/[-:]|\.\d+/g, "")
    const day = date.slice(0, 8)
    if (!scope.startsWith(day)) {
      scope = `${day}/${region}/s3/aws4_request`
      key = hmac(hmac(hmac(hmac(`AWS4${secretAccessKey}`, day), region), "s3"), "aws4_request")
    }
    const headers = `host:${host}\nx-amz-content-sha256:${payload}\nx-amz-date:${date}\n`
    const canonical = createHash("sha256")
      .update([method, path, query, headers, names, payload].join("\n"))
      .digest("hex")
    const signature = hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${canonical}`).toString("hex")
    return {
      host,
      "x-amz-date": date,
      "x-amz-content-sha256": payload,
      authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
    }
  }
}
