/** A client that pushes and pulls one blob, as docker does: POST, PATCH without a length, PUT. */
import { createHash } from "node:crypto"
import { once } from "node:events"
import { type IncomingMessage, request } from "node:http"
import { ensure } from "../harness/Question.ts"
import { pieces } from "./Body.ts"

const repository = "bench/blobs"

const ask = async (
  url: URL,
  method: string,
  headers: Record<string, string> = {},
  body: Iterable<Buffer> = []
): Promise<IncomingMessage> => {
  const sending = request(url, { method, headers })
  const answered = once(sending, "response") as Promise<[IncomingMessage]>
  for (const piece of body) if (!sending.write(piece)) await once(sending, "drain")
  sending.end()
  const [answer] = await answered
  return answer
}

const expected = (answer: IncomingMessage, status: number, what: string): IncomingMessage => {
  ensure(answer.statusCode === status, `${what} was answered with ${answer.statusCode}`)
  return answer
}

const locationOf = (base: string, answer: IncomingMessage): URL => {
  answer.resume()
  return new URL(answer.headers.location ?? "", base)
}

/** Pushes a body in `chunks` chunks. */
export const push = async (
  base: string,
  digest: string,
  sizeBytes: number,
  chunks: number
): Promise<void> => {
  const begun = await ask(new URL(`/v2/${repository}/blobs/uploads/`, base), "POST", {
    "content-length": "0"
  })
  let location = locationOf(base, expected(begun, 202, "POST"))
  const chunkBytes = sizeBytes / chunks
  for (let chunk = 0; chunk < chunks; chunk++) {
    const framing = { "transfer-encoding": "chunked" }
    const answer = await ask(location, "PATCH", framing, pieces(chunk * chunkBytes, chunkBytes))
    location = locationOf(base, expected(answer, 202, "PATCH"))
  }
  location.searchParams.set("digest", digest)
  expected(await ask(location, "PUT", { "content-length": "0" }), 201, "PUT").resume()
}

/** Pulls a blob and verifies its digest. */
export const pull = async (base: string, digest: string): Promise<void> => {
  const answer = expected(await ask(new URL(`/v2/${repository}/blobs/${digest}`, base), "GET"), 200, "GET")
  const hash = createHash("sha256")
  for await (const chunk of answer) hash.update(chunk as Buffer)
  ensure(`sha256:${hash.digest("hex")}` === digest, "the pulled bytes differ from the pushed ones")
}
