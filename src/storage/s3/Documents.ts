/**
 * Checks that an answer is the document that the protocol demands, before the SDK's parser reads it.
 *
 * The SDK takes any document, and an empty body, for an answer that says nothing. A proxy's page would be an
 * empty bucket, a bucket without versions, and a confirmed delete.
 */
import { Readable } from "node:stream"
import type { S3Client } from "@aws-sdk/client-s3"

/** Says what arrived in place of the answer. The message is for people. */
export class OtherAnswer extends Error {
  constructor(message: string) {
    super(message)
    this.name = "OtherAnswer"
  }
}

/**
 * The most bytes of a document. A page of 1000 keys of 1024 bytes, each byte encoded as three, takes 3.6 MB.
 */
const documentMax = 32 * 1024 * 1024

/** The root elements by the command's name. */
const roots: Readonly<Record<string, string>> = {
  ListObjectsV2Command: "ListBucketResult",
  ListObjectVersionsCommand: "ListVersionsResult",
  ListMultipartUploadsCommand: "ListMultipartUploadsResult",
  ListPartsCommand: "ListPartsResult",
  DeleteObjectsCommand: "DeleteResult",
  CopyObjectCommand: "CopyObjectResult",
  UploadPartCopyCommand: "CopyPartResult",
  CreateMultipartUploadCommand: "InitiateMultipartUploadResult",
  CompleteMultipartUploadCommand: "CompleteMultipartUploadResult",
  GetBucketLifecycleConfigurationCommand: "LifecycleConfiguration",
  GetBucketVersioningCommand: "VersioningConfiguration",
  GetObjectLockConfigurationCommand: "ObjectLockConfiguration"
}

/** The commands whose answer has no document. A page in its place is not an answer of the store. */
const wordless = new Set([
  "PutObjectCommand",
  "UploadPartCommand",
  "DeleteObjectCommand",
  "AbortMultipartUploadCommand"
])

/** Makes every request of the client fail with {@link OtherAnswer} for an answer of another form. */
export const demandDocuments = (client: S3Client): void => {
  client.middlewareStack.add(
    (next, { commandName = "" }) =>
      async (args) => {
        const result = await next(args)
        const root = roots[commandName]
        if (root === undefined && !wordless.has(commandName)) return result
        const response = result.response as { statusCode?: number; body?: unknown }
        const { statusCode = 0 } = response
        // The SDK reads what is not a success.
        if (statusCode < 200 || statusCode >= 300) return result
        const bytes = await readAll(response.body)
        response.body = bytes
        const problem = root === undefined ? pageIn(bytes) : problemOf(root, bytes)
        if (problem !== undefined) throw new OtherAnswer(`${problem} (HTTP ${statusCode})`)
        return result
      },
    // The last step before the network and the first one after it.
    { step: "deserialize", name: "document", priority: "low" }
  )
}

const readAll = async (body: unknown): Promise<Buffer> => {
  if (body instanceof Uint8Array) return Buffer.from(body)
  if (!(body instanceof Readable)) return Buffer.alloc(0)
  const chunks: Array<Buffer> = []
  let length = 0
  // Leaving the loop destroys the body.
  for await (const chunk of body) {
    chunks.push(chunk)
    length += chunk.length
    if (length > documentMax) {
      throw new OtherAnswer(`the answer is longer than ${documentMax} bytes, and was not read to its end`)
    }
  }
  return Buffer.concat(chunks)
}

/** The beginning of a document up to its root element's name: blanks, declaration, comments, blanks. */
const opening =
  /^\uFEFF?\s*(?:<\?xml[^>]*\?>)?(?:\s|<!--[\s\S]*?-->)*<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)/

/** The bytes in which a root element is looked for. */
const openingMax = 4096

/** Returns what the document is in place of one with this root, or undefined if it has it. */
const problemOf = (root: string, bytes: Buffer): string | undefined => {
  const start = bytes.subarray(0, openingMax).toString("utf8")
  if (start.trim() === "") return `the answer is empty, where <${root}> was expected`
  const found = opening.exec(start)?.[1]
  // The SDK reads an error in an answer of status 200.
  if (found === root || found === "Error") return undefined
  const what = isPage(start)
    ? "an HTML page"
    : found === undefined
      ? "no XML document"
      : `the document <${found}>`
  return `the answer is ${what}, where <${root}> was expected`
}

const pageIn = (bytes: Buffer): string | undefined =>
  isPage(bytes.subarray(0, openingMax).toString("utf8")) ? "the answer is an HTML page" : undefined

const isPage = (start: string): boolean =>
  /^\uFEFF?\s*(?:<\?xml[^>]*\?>)?(?:\s|<!--[\s\S]*?-->)*<(?:!doctype html|html)\b/i.test(start)
