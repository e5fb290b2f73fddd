/** Requests as no well-behaved client sends them, and the answers to them. */
import assert from "node:assert/strict"
import { once } from "node:events"
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http"

/** An answer that was received in full. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Null when the connection broke before the answer was complete. */
export type MaybeAnswer = Answer | null

export type Headers = Readonly<Record<string, string | number>>

/** Bytes, which are sent with their length, or pieces, which are sent without one. */
export type Body = Buffer | Iterable<Buffer>

export interface Sending {
  readonly headers?: Headers
  readonly body?: Body
}

/** Waits until the request accepts bytes again, or never will. */
const drained = (sending: ClientRequest): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      for (const event of ["drain", "close"]) sending.off(event, done)
      resolve()
    }
    for (const event of ["drain", "close"]) sending.on(event, done)
  })

const firstAnswer = async (sending: ClientRequest): Promise<IncomingMessage | null> => {
  try {
    const [answer] = (await once(sending, "response")) as [IncomingMessage]
    return answer
  } catch {
    return null
  }
}

/** Sends one request. */
export const ask = async (
  url: URL,
  method: string,
  { headers = {}, body }: Sending = {}
): Promise<MaybeAnswer> => {
  const framing =
    body === undefined
      ? { "content-length": 0 }
      : Buffer.isBuffer(body)
        ? { "content-length": body.length }
        : {}
  const sending = request(url, { method, headers: { ...framing, ...headers } })
  // A replica that dies causes an error after the answer, too.
  sending.on("error", () => {})
  const answered = firstAnswer(sending)
  if (Buffer.isBuffer(body)) sending.write(body)
  else if (body !== undefined) {
    for (const piece of body) {
      if (sending.destroyed) break
      if (!sending.write(piece)) await drained(sending)
    }
  }
  sending.end()
  const answer = await answered
  if (answer === null) return null
  const chunks: Array<Buffer> = []
  try {
    for await (const chunk of answer) chunks.push(chunk as Buffer)
  } catch {
    return null
  }
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) }
}

/** Asserts that the answer has one of the statuses, and returns it. */
export const expected = (answer: MaybeAnswer, ...statuses: ReadonlyArray<number>): Answer => {
  assert.ok(
    answer !== null && statuses.includes(answer.status),
    `${answer?.status}, not ${statuses}: ${answer?.body}`
  )
  return answer
}

/** Returns the address at which an upload continues. */
export const locationOf = ({ headers }: Answer): string => {
  assert.ok(headers.location, "the answer has a Location")
  return headers.location
}
