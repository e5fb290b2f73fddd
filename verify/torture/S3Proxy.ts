/**
 * An S3 server's worst days: a proxy in front of a real one that lets each request pass, refuses it, does it and loses
 * the answer, says SlowDown, or holds it back until long after its sender has given up (or died), and then does it.
 */
import { Agent, createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

/**
 * - `refuse`: the connection breaks before the store hears of the request
 * - `lose`: the store does it, and the connection breaks before its answer
 * - `slow down`: 503, and nothing happens
 * - `hold`: nothing happens until `release`, then the store does it; its sender gets no answer
 */
export type S3Fault = "refuse" | "lose" | "slow down" | "hold"

export interface Exchange {
  /** What is asked, e.g. `PUT object`. */
  readonly what: string
}

export interface S3Hooks {
  /** Before the store hears of it. */
  readonly before: (exchange: Exchange) => S3Fault | null
  /** The store has answered, and the sender does not know yet. */
  readonly after: (exchange: Exchange) => void
}

export interface S3Proxy {
  readonly endpoint: string
  /** Lets what is held go its way, oldest first, and waits until the store has answered all of it; how many. */
  readonly release: () => Promise<number>
  readonly held: () => number
  readonly close: () => Promise<void>
}

const slowDown = `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`

/** `holdMillis` null: until `release`; else each for a random time up to so many milliseconds beyond `patience`. */
export const start = async (
  upstream: string,
  hooks: S3Hooks,
  holdMillis: (() => number) | null = null
): Promise<S3Proxy> => {
  const target = new URL(upstream)
  const agent = new Agent({ keepAlive: true, maxSockets: 128 })
  const held = new Set<() => Promise<void>>()

  const send = (incoming: IncomingMessage, body: Buffer) =>
    new Promise<{ readonly answer: IncomingMessage; readonly body: Buffer }>((resolve, reject) => {
      const { expect: _, "transfer-encoding": __, ...headers } = incoming.headers
      const outgoing = forward(
        {
          agent,
          host: target.hostname,
          port: target.port,
          method: incoming.method,
          path: incoming.url,
          // The signature covers the host name by which the client called us.
          headers: { ...headers, "content-length": String(body.length) }
        },
        (answer) => {
          read(answer).then((body) => resolve({ answer, body }), reject)
        }
      )
      outgoing.once("error", reject)
      outgoing.end(body)
    })

  const serve = async (incoming: IncomingMessage, response: ServerResponse) => {
    const body = await read(incoming)
    const exchange = { what: nameOf(incoming) }
    const fault = hooks.before(exchange)
    if (fault === "refuse") return incoming.socket.destroy()
    if (fault === "slow down") {
      return response.writeHead(503, { "content-type": "application/xml" }).end(slowDown)
    }
    if (fault === "hold") {
      const late = async () => {
        if (!held.delete(late)) return
        await send(incoming, body).catch(() => undefined)
      }
      held.add(late)
      if (holdMillis !== null) void sleep(holdMillis()).then(late)
      return
    }
    const { answer, body: answered } = await send(incoming, body)
    hooks.after(exchange)
    if (fault === "lose") return incoming.socket.destroy()
    const { "transfer-encoding": _, connection: __, ...headers } = answer.headers
    const length = incoming.method === "HEAD" ? headers["content-length"] : String(answered.length)
    response.writeHead(answer.statusCode ?? 500, { ...headers, ...(length && { "content-length": length }) })
    response.end(answered)
  }

  const server = createServer((incoming, response) => {
    // A sender that is killed breaks its connection; that is the point.
    serve(incoming, response).catch(() => incoming.socket.destroy())
  })
  server.requestTimeout = 0
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    release: async () => {
      const all = [...held]
      for (const late of all) await late()
      return all.length
    },
    held: () => held.size,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
        agent.destroy()
      })
  }
}

const read = async (stream: IncomingMessage): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** The operation by method and query, as S3's documentation calls it. */
const nameOf = ({ method, url }: IncomingMessage): string => {
  const { pathname, searchParams } = new URL(url ?? "/", "http://s3")
  const isBucket = pathname.split("/").filter((part) => part !== "").length < 2
  if (searchParams.has("delete")) return "DeleteObjects"
  if (searchParams.has("versioning")) return "GetBucketVersioning"
  if (searchParams.has("object-lock")) return "GetObjectLockConfiguration"
  if (searchParams.has("uploads")) return method === "POST" ? "CreateMultipartUpload" : "ListMultipartUploads"
  if (searchParams.has("uploadId")) {
    const named = { PUT: "UploadPart", POST: "CompleteMultipartUpload", DELETE: "AbortMultipartUpload" }
    return named[method as keyof typeof named] ?? "ListParts"
  }
  if (isBucket) return "ListObjectsV2"
  const verb = (method ?? "GET").charAt(0) + (method ?? "GET").slice(1).toLowerCase()
  return `${verb}Object`
}
