/**
 * A fake store that costs next to nothing. It keeps objects in memory, accepts deletes and the requests of
 * guards, lists nothing, and records which keys were deleted. So a sweep on it shows the work of the
 * collector and the database.
 *
 * It runs in the process that waits for the variant.
 */
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { ensure } from "./Question.ts"
import type { S3Server } from "./Servers.ts"

/** A running fake store. */
export interface FakeStore {
  readonly s3: S3Server
  /** All keys whose delete it received. */
  readonly deleted: ReadonlySet<string>
  /** Returns the number of keys in deletes. It exceeds the size of `deleted` if a key was deleted twice. */
  readonly keysDeleted: () => number
  /** Ends the store. */
  readonly close: () => void
}

/** Options of a fake store. */
export interface FakeStoreOptions {
  /** Delay of each answer in milliseconds, default 0. */
  readonly latencyMillis?: number
  /** True if it does not support DeleteObjects, as some stores. Default false. */
  readonly oneByOne?: boolean
}

const header = '<?xml version="1.0" encoding="UTF-8"?>'
const namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

/** Returns the key of a path-style request, without its query. */
const keyOf = (url: string, bucket: string): string =>
  decodeURIComponent(new URL(url, "http://store").pathname.slice(`/${bucket}/`.length))

/** Returns whether a GET asks for an object. The SDK adds the parameter x-id to it. */
const asksForObject = (url: string): boolean =>
  [...new URL(url, "http://store").searchParams.keys()].every((name) => name === "x-id")

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

interface Answer {
  readonly status: number
  readonly xml: string
  /** Sent instead of `xml`. */
  readonly bytes?: Buffer
}

const ok = (xml: string): Answer => ({ status: 200, xml })

const notFound: Answer = {
  status: 404,
  xml: "<Error><Code>NoSuchKey</Code><Message>The fake store does not have this object.</Message></Error>"
}

const notImplemented: Answer = {
  status: 501,
  xml: "<Error><Code>NotImplemented</Code><Message>The fake store does not support this request.</Message></Error>"
}

/** Keeps objects and counts deletes. */
class Contents {
  readonly deleted = new Set<string>()
  readonly kept = new Map<string, Buffer>()
  keysDeleted = 0

  remove(key: string): void {
    this.keysDeleted += 1
    this.deleted.add(key)
    this.kept.delete(key)
  }
}

const answerTo = async (
  request: IncomingMessage,
  bucket: string,
  contents: Contents,
  oneByOne: boolean
): Promise<Answer> => {
  const url = request.url ?? ""
  if (request.method === "GET" && url.includes("list-type=2")) {
    return ok(
      `<ListBucketResult ${namespace}><Name>${bucket}</Name><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>`
    )
  }
  if (request.method === "HEAD") return ok("")
  if (request.method === "PUT") {
    contents.kept.set(keyOf(url, bucket), await bodyOf(request))
    return ok("")
  }
  if (request.method === "DELETE") {
    contents.remove(keyOf(url, bucket))
    return { status: 204, xml: "" }
  }
  if (request.method === "GET" && /[?&]uploads(=|&|$)/.test(url)) {
    return ok(
      `<ListMultipartUploadsResult ${namespace}><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>`
    )
  }
  if (request.method === "POST" && !oneByOne && /\?delete(=|&|$)/.test(url)) {
    const entries: Array<string> = []
    for (const [entry, key = ""] of String(await bodyOf(request)).matchAll(/<Key>([^<]*)<\/Key>/g)) {
      contents.remove(key)
      entries.push(`<Deleted>${entry}</Deleted>`)
    }
    return ok(`<DeleteResult ${namespace}>${entries.join("")}</DeleteResult>`)
  }
  if (request.method === "GET" && asksForObject(url)) {
    const bytes = contents.kept.get(keyOf(url, bucket))
    return bytes === undefined ? notFound : { status: 200, xml: "", bytes }
  }
  return notImplemented
}

const epoch = new Date(0).toUTCString()

/** Starts a fake store with the bucket and the credentials of `like`. */
export const start = async (like: S3Server, options: FakeStoreOptions = {}): Promise<FakeStore> => {
  const { latencyMillis = 0, oneByOne = false } = options
  const contents = new Contents()
  const server = createServer((request, response) => {
    answerTo(request, like.bucket, contents, oneByOne).then(
      ({ status, xml, bytes }) => {
        const end = () =>
          response
            .writeHead(status, {
              "content-type": bytes ? "application/octet-stream" : "application/xml",
              // A sweep looks up a few rows' objects before it deletes.
              "last-modified": epoch,
              ...(request.method === "HEAD" ? { "content-length": "0" } : {})
            })
            .end(bytes ?? (xml && header + xml))
        if (latencyMillis === 0) end()
        else setTimeout(end, latencyMillis)
      },
      () => response.destroy()
    )
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  const address: AddressInfo | string | null = server.address()
  ensure(typeof address === "object" && address !== null, "the fake store does not listen")
  return {
    s3: { ...like, server: "fake store", endpoint: `http://127.0.0.1:${address.port}`, isThrowAway: true },
    deleted: contents.deleted,
    keysDeleted: () => contents.keysDeleted,
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}
