/** An HTTP server that answers what a test tells it to, and remembers what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect } from "effect"

export class Asked {
  readonly method: string
  /** Path with the query, as sent. */
  readonly url: string
  readonly headers: IncomingMessage["headers"]
  readonly chunks: Array<Buffer> = []
  isComplete = false
  /** Whether the client went away before it had an answer. */
  isAborted = false
  constructor({ headers, method = "", url = "" }: IncomingMessage) {
    this.method = method
    this.url = url
    this.headers = headers
  }
  /** What has arrived until now; all of it once `isComplete`. */
  get body(): Buffer {
    return Buffer.concat(this.chunks)
  }
}

export type Answer = (
  asked: Asked,
  response: ServerResponse,
  request: IncomingMessage
) => void | Promise<void>

/** Answers the first request with the first answer and so on, all further ones with the last. */
export const stubServer = (...answers: ReadonlyArray<Answer>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ server: ReturnType<typeof createServer>; asked: Array<Asked> }>((resume) => {
        const asked: Array<Asked> = []
        const serve = (request: IncomingMessage, response: ServerResponse) => {
          const entry = new Asked(request)
          asked.push(entry)
          response.on("close", () => {
            entry.isAborted = !response.writableFinished
          })
          void answers[Math.min(asked.length, answers.length) - 1]?.(entry, response, request)
        }
        const server = createServer(serve)
        // Not answered by itself, so that a test can refuse a body.
        server.on("checkContinue", serve)
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, asked })))
      }),
      ({ server }) =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    ),
    ({ asked, server }) => ({
      asked,
      server,
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    })
  )

/** Reads the whole request, then answers. */
export const reply =
  (status: number, body: string | Buffer = "", headers: Record<string, string> = {}): Answer =>
  async (asked, response, request) => {
    await receive(asked, response, request)
    response.writeHead(status, headers).end(body)
  }

/** Reads the whole request and never answers. */
export const silence: Answer = (asked, response, request) => receive(asked, response, request)

/** Answers without reading the body, as a server does that refuses it. */
export const refuse =
  (status: number, body: string): Answer =>
  (_, response) => {
    response.writeHead(status, { connection: "close" }).end(body)
  }

export const receive = async (asked: Asked, response: ServerResponse, request: IncomingMessage) => {
  if (request.headers.expect === "100-continue") response.writeContinue()
  try {
    for await (const chunk of request) asked.chunks.push(chunk)
    asked.isComplete = true
  } catch {
    // The client went away; `isAborted` says so.
  }
}

/** An error document of S3. */
export const errorXml = (code: string, message = "because") =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`

export interface ListedEntry {
  readonly key: string
  readonly size?: string
  readonly time?: string
}

/** A ListObjectsV2 answer; keys are given as they stand in the document. */
export const listXml = (
  entries: ReadonlyArray<ListedEntry>,
  options: { readonly encoded?: boolean; readonly truncated?: boolean; readonly token?: string } = {}
) =>
  [
    `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`,
    options.encoded === false ? "" : "<EncodingType>url</EncodingType>",
    `<IsTruncated>${options.truncated === true}</IsTruncated>`,
    options.token === undefined ? "" : `<NextContinuationToken>${options.token}</NextContinuationToken>`,
    ...entries.map(
      ({ key, size = "<Size>1</Size>", time = "<LastModified>2026-01-02T03:04:05.678Z</LastModified>" }) =>
        `<Contents><Key>${key}</Key>${time}${size}</Contents>`
    ),
    "</ListBucketResult>"
  ].join("")

/** A DeleteObjects answer; keys are given as they stand in the document. */
export const deleteXml = (deleted: ReadonlyArray<string>, errors: ReadonlyArray<readonly [string, string]>) =>
  [
    `<?xml version="1.0" encoding="UTF-8"?><DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`,
    ...deleted.map((key) => `<Deleted><Key>${key}</Key></Deleted>`),
    ...errors.map(
      ([key, code]) => `<Error><Key>${key}</Key><Code>${code}</Code><Message>because</Message></Error>`
    ),
    "</DeleteResult>"
  ].join("")

/** A ListMultipartUploads answer that says how its keys are encoded, or does not; with `next`, there is more behind it. */
export const uploadsXml = (
  uploads: ReadonlyArray<{ readonly key: string; readonly id?: string; readonly begun?: string }>,
  next?: { readonly key: string | undefined; readonly id: string | undefined },
  encoding: "url" | "unsaid" = "url"
) =>
  [
    `<?xml version="1.0" encoding="UTF-8"?><ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`,
    encoding === "url" ? "<EncodingType>url</EncodingType>" : "",
    `<IsTruncated>${next !== undefined}</IsTruncated>`,
    next?.key === undefined ? "" : `<NextKeyMarker>${next.key}</NextKeyMarker>`,
    next?.id === undefined ? "" : `<NextUploadIdMarker>${next.id}</NextUploadIdMarker>`,
    ...uploads.map(({ begun, id, key }) =>
      [
        `<Upload><Key>${key}</Key>`,
        id === undefined ? "" : `<UploadId>${id}</UploadId>`,
        begun === undefined ? "" : `<Initiated>${begun}</Initiated>`,
        "</Upload>"
      ].join("")
    ),
    "</ListMultipartUploadsResult>"
  ].join("")

/** A ListParts answer with parts of these times; with `next`, there is more behind that number. */
export const partsXml = (times: ReadonlyArray<string>, next: number | null) =>
  [
    `<?xml version="1.0" encoding="UTF-8"?><ListPartsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`,
    `<IsTruncated>${next !== null}</IsTruncated>`,
    next === null ? "" : `<NextPartNumberMarker>${next}</NextPartNumberMarker>`,
    ...times.map((time) => `<Part><LastModified>${time}</LastModified></Part>`),
    "</ListPartsResult>"
  ].join("")

export interface ListedVersion {
  readonly key: string
  readonly id?: string
  readonly isMarker?: boolean
}

/** A ListObjectVersions answer with encoded keys; with `next`, there is more behind that version. */
export const versionsXml = (
  versions: ReadonlyArray<ListedVersion>,
  next?: { readonly key?: string; readonly id?: string }
) =>
  [
    `<?xml version="1.0" encoding="UTF-8"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`,
    `<EncodingType>url</EncodingType><IsTruncated>${next !== undefined}</IsTruncated>`,
    next?.key === undefined ? "" : `<NextKeyMarker>${next.key}</NextKeyMarker>`,
    next?.id === undefined ? "" : `<NextVersionIdMarker>${next.id}</NextVersionIdMarker>`,
    ...versions.map(({ id, isMarker, key }) => {
      const version = id === undefined ? "" : `<VersionId>${id}</VersionId>`
      const tag = isMarker === true ? "DeleteMarker" : "Version"
      return `<${tag}><Key>${key}</Key>${version}</${tag}>`
    }),
    "</ListVersionsResult>"
  ].join("")
