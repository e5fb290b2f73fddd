/**
 * A proxy in front of a real S3 server that lets requests fail. It forwards a request, refuses it, loses its
 * answer, answers SlowDown, or forwards it long after its sender timed out or died.
 */
import { Agent, createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

/**
 * A fault of a request:
 * - `refuse`: the connection breaks before the store receives the request.
 * - `lose`: the store executes it, and the connection breaks before its answer.
 * - `slow down`: the proxy answers 503, and the store does not receive it.
 * - `full`: the proxy answers as MinIO does on a full disk, and the store does not receive it.
 * - `hold`: the store executes it after a delay or at `release`. Its sender gets no answer.
 */
export type S3Fault = "refuse" | "lose" | "slow down" | "full" | "hold"

/** A request that passes the proxy. */
export interface Exchange {
  /** Name of the operation in the S3 documentation, for example `PutObject`. */
  readonly operation: string
}

/** Decides over requests. */
export interface S3Hooks {
  /** Is called before the store receives a request. Returns its fault, or null. */
  readonly before: (exchange: Exchange) => S3Fault | null
  /** Is called when the store has answered and the sender has not received the answer. */
  readonly after: (exchange: Exchange) => void
}

/** A running proxy. */
export interface S3Proxy {
  readonly endpoint: string
  /** Forwards all held requests, oldest first, and waits for the store's answers. Returns their number. */
  readonly release: () => Promise<number>
  /** Ends the proxy and its connections. */
  readonly close: () => Promise<void>
}

const slowDown = `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`

const full = `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free drive threshold.</Message></Error>`

/**
 * Starts a proxy in front of an S3 server. `holdMillis` returns how long a held request is delayed. Without
 * it, held requests wait for `release`.
 */
export const start = async (
  upstream: string,
  hooks: S3Hooks,
  holdMillis: (() => number) | null = null
): Promise<S3Proxy> => {
  const agent = new Agent({ keepAlive: true, maxSockets: 128 })
  const send = sender(new URL(upstream), agent)
  const held = new Set<() => Promise<void>>()

  const hold = (incoming: IncomingMessage, body: Buffer) => {
    const forwardLate = async () => {
      if (!held.delete(forwardLate)) return
      await send(incoming, body).catch(() => undefined)
    }
    held.add(forwardLate)
    if (holdMillis !== null) void sleep(holdMillis()).then(forwardLate)
  }

  const serve = async (incoming: IncomingMessage, response: ServerResponse) => {
    const body = await read(incoming)
    const exchange = { operation: operationOf(incoming) }
    const fault = hooks.before(exchange)
    if (fault === "refuse") return incoming.socket.destroy()
    if (fault === "slow down") {
      return response.writeHead(503, { "content-type": "application/xml" }).end(slowDown)
    }
    if (fault === "full") return response.writeHead(507, { "content-type": "application/xml" }).end(full)
    if (fault === "hold") return hold(incoming, body)
    const { answer, body: answered } = await send(incoming, body)
    hooks.after(exchange)
    if (fault === "lose") return incoming.socket.destroy()
    const { "transfer-encoding": _, connection: __, ...headers } = answer.headers
    const length = incoming.method === "HEAD" ? headers["content-length"] : String(answered.length)
    response.writeHead(answer.statusCode ?? 500, { ...headers, ...(length && { "content-length": length }) })
    response.end(answered)
  }

  const server = createServer((incoming, response) => {
    // A sender that is killed breaks its connection, which is expected here.
    serve(incoming, response).catch(() => incoming.socket.destroy())
  })
  server.requestTimeout = 0
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    release: async () => {
      const all = [...held]
      for (const forwardLate of all) await forwardLate()
      return all.length
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
        agent.destroy()
      })
  }
}

/** Returns a function that forwards a request and reads the whole answer. */
const sender = (target: URL, agent: Agent) => (incoming: IncomingMessage, body: Buffer) =>
  new Promise<{ readonly answer: IncomingMessage; readonly body: Buffer }>((resolve, reject) => {
    const { expect: _, "transfer-encoding": __, ...headers } = incoming.headers
    const outgoing = forward(
      {
        agent,
        host: target.hostname,
        port: target.port,
        method: incoming.method,
        path: incoming.url,
        // The signature covers the host name that the client used, so it is not replaced.
        headers: { ...headers, "content-length": String(body.length) }
      },
      (answer) => {
        read(answer).then((body) => resolve({ answer, body }), reject)
      }
    )
    outgoing.once("error", reject)
    outgoing.end(body)
  })

const read = async (stream: IncomingMessage): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** Returns the name of the operation, from its method and query. */
const operationOf = ({ method, url }: IncomingMessage): string => {
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
