/**
 * A stand-in for the store that answers at once: it takes DeleteObjects and what guards ask, lists nothing, remembers what it was told
 * to delete, and costs next to nothing. What a sweep does beside it is the collector's and the database's own work, as
 * when the store is somebody else's machine.
 *
 * It runs in the process that waits for the contender.
 */
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { insist } from "./Question.ts"
import type { S3Place } from "./Servers.ts"

export interface StandIn {
  readonly place: S3Place
  /** Every key it was told to delete. */
  readonly deleted: ReadonlySet<string>
  readonly close: () => void
}

const header = '<?xml version="1.0" encoding="UTF-8"?>'
const namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString("utf8")
}

export const start = async (like: S3Place): Promise<StandIn> => {
  const deleted = new Set<string>()

  const answer = async (request: IncomingMessage): Promise<string | null> => {
    const url = request.url ?? ""
    if (request.method === "GET" && url.includes("list-type=2")) {
      return `<ListBucketResult ${namespace}><Name>${like.bucket}</Name><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>`
    }
    if (request.method === "HEAD") return ""
    if (request.method === "GET" && /[?&]uploads(=|&|$)/.test(url)) {
      return `<ListMultipartUploadsResult ${namespace}><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>`
    }
    if (request.method === "POST" && /\?delete(=|&|$)/.test(url)) {
      const entries: Array<string> = []
      for (const [entry, key = ""] of (await bodyOf(request)).matchAll(/<Key>([^<]*)<\/Key>/g)) {
        deleted.add(key)
        entries.push(`<Deleted>${entry}</Deleted>`)
      }
      return `<DeleteResult ${namespace}>${entries.join("")}</DeleteResult>`
    }
    return null
  }

  const server = createServer((request, response) => {
    answer(request).then(
      (xml) =>
        response.writeHead(xml === null ? 501 : 200, { "content-type": "application/xml" }).end(header + xml),
      () => response.destroy()
    )
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  const address: AddressInfo | string | null = server.address()
  insist(typeof address === "object" && address !== null, "the stand-in does not listen")
  return {
    place: { ...like, server: "stand-in", endpoint: `http://127.0.0.1:${address.port}`, isThrowAway: true },
    deleted,
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}
