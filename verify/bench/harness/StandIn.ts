/**
 * A stand-in for the store: it takes objects, which it keeps in memory, and deletes and what guards ask, lists nothing,
 * remembers what it was told to delete, and costs next to nothing. What a sweep does beside it is the collector's and the database's own work, as
 * when the store is somebody else's machine, which may be far away or unable to delete many objects at once.
 *
 * It runs in the process that waits for the contender.
 */
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { insist } from "./Question.ts"
import type { S3Server } from "./Servers.ts"

export interface StandIn {
  readonly place: S3Server
  /** Every key it was told to delete. */
  readonly deleted: ReadonlySet<string>
  /** How many keys it was told to delete; more than `deleted` has when it was told of one again. */
  readonly keysDeleted: () => number
  /** How many delete requests that took. */
  readonly deleteRequests: () => number
  readonly close: () => void
}

export interface Manner {
  /** Each request is answered so much later; 0, at once, where it is not said. */
  readonly latencyMillis?: number
  /** It knows no DeleteObjects, as some stores do not. */
  readonly oneByOne?: boolean
}

const header = '<?xml version="1.0" encoding="UTF-8"?>'
const namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

/** The key of a path-style request to an object, whatever its query. */
const keyOf = (url: string, bucket: string): string =>
  decodeURIComponent(new URL(url, "http://store").pathname.slice(`/${bucket}/`.length))

/** Whether a GET asks for an object and not for something else about bucket or key; the SDK names what it asks for. */
const asksForObject = (url: string): boolean =>
  [...new URL(url, "http://store").searchParams.keys()].every((name) => name === "x-id")

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

interface Answered {
  readonly status: number
  readonly xml: string
  /** In its place. */
  readonly bytes?: Buffer
}

const ok = (xml: string): Answered => ({ status: 200, xml })

const absent: Answered = {
  status: 404,
  xml: "<Error><Code>NoSuchKey</Code><Message>The stand-in was not given this object.</Message></Error>"
}

const lacking: Answered = {
  status: 501,
  xml: "<Error><Code>NotImplemented</Code><Message>The stand-in does not know this request.</Message></Error>"
}

export const start = async (like: S3Server, manner: Manner = {}): Promise<StandIn> => {
  const { latencyMillis = 0, oneByOne = false } = manner
  const deleted = new Set<string>()
  const kept = new Map<string, Buffer>()
  let deleteRequests = 0
  let keysDeleted = 0

  const remove = (key: string) => {
    keysDeleted += 1
    deleted.add(key)
    kept.delete(key)
  }

  const answer = async (request: IncomingMessage): Promise<Answered> => {
    const url = request.url ?? ""
    if (request.method === "GET" && url.includes("list-type=2")) {
      return ok(
        `<ListBucketResult ${namespace}><Name>${like.bucket}</Name><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>`
      )
    }
    if (request.method === "HEAD") return ok("")
    if (request.method === "PUT") {
      kept.set(keyOf(url, like.bucket), await bodyOf(request))
      return ok("")
    }
    if (request.method === "DELETE") {
      deleteRequests += 1
      remove(keyOf(url, like.bucket))
      return { status: 204, xml: "" }
    }
    if (request.method === "GET" && /[?&]uploads(=|&|$)/.test(url)) {
      return ok(
        `<ListMultipartUploadsResult ${namespace}><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>`
      )
    }
    if (request.method === "POST" && !oneByOne && /\?delete(=|&|$)/.test(url)) {
      deleteRequests += 1
      const entries: Array<string> = []
      for (const [entry, key = ""] of String(await bodyOf(request)).matchAll(/<Key>([^<]*)<\/Key>/g)) {
        remove(key)
        entries.push(`<Deleted>${entry}</Deleted>`)
      }
      return ok(`<DeleteResult ${namespace}>${entries.join("")}</DeleteResult>`)
    }
    if (request.method === "GET" && asksForObject(url)) {
      const bytes = kept.get(keyOf(url, like.bucket))
      return bytes === undefined ? absent : { status: 200, xml: "", bytes }
    }
    return lacking
  }

  const server = createServer((request, response) => {
    answer(request).then(
      ({ status, xml, bytes }) => {
        const end = () =>
          response
            .writeHead(status, { "content-type": bytes ? "application/octet-stream" : "application/xml" })
            .end(bytes ?? (xml && header + xml))
        if (latencyMillis === 0) end()
        else setTimeout(end, latencyMillis)
      },
      () => response.destroy()
    )
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  const address: AddressInfo | string | null = server.address()
  insist(typeof address === "object" && address !== null, "the stand-in does not listen")
  return {
    place: { ...like, server: "stand-in", endpoint: `http://127.0.0.1:${address.port}`, isThrowAway: true },
    deleted,
    keysDeleted: () => keysDeleted,
    deleteRequests: () => deleteRequests,
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}
