/**
 * A fake store that only lists pages of 1000 keys, as AWS formats them. Pages are prepared before the first
 * request, so that only the client is measured. It runs in the process that waits for the variant.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { ensure } from "../harness/Question.ts"
import type { S3Server } from "../harness/Servers.ts"

/** Keys a page. */
export const pageKeys = 1000

/** Number of digits of a page's number in its keys. */
const digits = 8

/** Returns the key at `index`, in key order. */
export const keyAt = (index: number): string => {
  const page = String(Math.floor(index / pageKeys)).padStart(digits, "0")
  const place = String(index % pageKeys).padStart(4, "0")
  return `blobs/sha256/${page}${place}${"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d"}/2c624232-cdd2-4177-8d2b-7f4d3c1d1a5e`
}

const entry = (key: string, sizeBytes: number) =>
  `<Contents><Key>${key}</Key><LastModified>2026-11-25T04:35:12.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>${sizeBytes}</Size><StorageClass>STANDARD</StorageClass></Contents>`

/** Makes a page with gaps for its number, and the positions of the gaps. */
const makeTemplate = (isLast: boolean) => {
  const mark = "#".repeat(digits)
  const entries = Array.from({ length: pageKeys }, (_, index) =>
    entry(keyAt(index).replace("0".repeat(digits), mark), index)
  )
  const more = isLast ? "" : `<NextContinuationToken>${mark}</NextContinuationToken>`
  const text = `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix>blobs/</Prefix><KeyCount>${pageKeys}</KeyCount><MaxKeys>${pageKeys}</MaxKeys><EncodingType>url</EncodingType><IsTruncated>${!isLast}</IsTruncated>${more}${entries.join("")}</ListBucketResult>`
  const gaps: Array<number> = []
  for (let at = text.indexOf(mark); at !== -1; at = text.indexOf(mark, at + digits)) gaps.push(at)
  return { bytes: Buffer.from(text), gaps }
}

/** A running fake store. */
export interface Pages {
  readonly s3: S3Server
  /** Ends the store. */
  readonly close: () => void
}

/** Starts a store with `pages` pages. A continuation token is the number of the page before. */
export const start = async (like: S3Server, pages: number): Promise<Pages> => {
  const middle = makeTemplate(false)
  const last = makeTemplate(true)
  const server = createServer((request, response) => {
    const token = new URL(request.url ?? "", "http://store").searchParams.get("continuation-token")
    const number = token === null ? 0 : Number(token) + 1
    const { bytes, gaps } = number < pages - 1 ? middle : last
    const page = Buffer.from(bytes)
    const text = String(number).padStart(digits, "0")
    for (const gap of gaps) page.write(text, gap, "latin1")
    response.writeHead(200, { "content-type": "application/xml", "content-length": page.length }).end(page)
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  const address: AddressInfo | string | null = server.address()
  ensure(typeof address === "object" && address !== null, "the fake store does not listen")
  return {
    s3: { ...like, endpoint: `http://127.0.0.1:${address.port}` },
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}
