/**
 * The floor of the registry: `node:http` and the SDK with nothing between them. A GET pipes the body of GetObject to the
 * response. A PUT hashes the body while it passes to one sized PutObject.
 */
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { PassThrough, type Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3"
import type { S3Server } from "../harness/Servers.ts"
import { client } from "../sweep/Client.ts"

const place = JSON.parse(process.argv[2] ?? "null") as S3Server
const s3 = client(place)

const pull = async (Key: string, response: ServerResponse) => {
  const { Body, ContentLength } = await s3.send(new GetObjectCommand({ Bucket: place.bucket, Key }))
  response.writeHead(200, { "content-length": String(ContentLength) })
  await pipeline(Body as Readable, response)
}

const push = async (Key: string, request: IncomingMessage, response: ServerResponse) => {
  const hash = createHash("sha256")
  const Body = new PassThrough()
  request.on("data", (chunk: Buffer) => hash.update(chunk))
  request.pipe(Body)
  const ContentLength = Number(request.headers["content-length"])
  await s3.send(new PutObjectCommand({ Bucket: place.bucket, Key, Body, ContentLength }))
  response.writeHead(201, { "content-length": "0", digest: hash.digest("hex") }).end()
}

const server = createServer((request, response) => {
  const key = (request.url ?? "").slice(1)
  const answered = request.method === "PUT" ? push(key, request, response) : pull(key, response)
  answered.catch((error: unknown) => {
    process.stderr.write(`${error}\n`)
    response.destroy()
  })
})
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port))
process.on("disconnect", () => process.exit(0))
