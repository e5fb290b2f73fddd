/** The client of the registry and of its floor. It does as little as possible, because it shares their cores. */
import { once } from "node:events"
import { Agent, type IncomingMessage, request } from "node:http"
import { connect } from "node:net"
import { ensure } from "../harness/Question.ts"

const agent = new Agent({ keepAlive: true, maxSockets: 16 })

/** Sends a request and returns the answer, whose body was read to its end. */
export const ask = async (
  url: URL,
  method: string,
  headers: Record<string, string> = {},
  body: Iterable<Buffer> = []
): Promise<IncomingMessage> => {
  const sending = request(url, { method, headers, agent })
  const answered = once(sending, "response") as Promise<[IncomingMessage]>
  answered.catch(() => undefined)
  for (const piece of body) if (!sending.write(piece)) await once(sending, "drain")
  sending.end()
  const [answer] = await answered
  answer.resume()
  await once(answer, "end")
  return answer
}

/** Fails unless the answer has the status. */
export const expected = (answer: IncomingMessage, status: number, what: string): IncomingMessage => {
  ensure(answer.statusCode === status, `${what} was answered with ${answer.statusCode}`)
  return answer
}

/** Reads a body from a bare socket and returns how many bytes arrived after the head. */
export const drain = async (url: URL): Promise<number> => {
  const socket = connect(Number(url.port), url.hostname)
  socket.write(`GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: close\r\n\r\n`)
  let received = 0
  let head = ""
  let headBytes = -1
  socket.on("data", (bytes) => {
    received += bytes.length
    if (headBytes >= 0) return
    head += bytes.toString("latin1")
    const end = head.indexOf("\r\n\r\n")
    if (end < 0) return
    ensure(head.startsWith("HTTP/1.1 200"), `GET was answered with ${head.slice(0, 80)}`)
    headBytes = end + 4
  })
  await once(socket, "close")
  return received - headBytes
}

/** Runs `work` `times` times, `together` at once. */
export const repeat = async (
  times: number,
  together: number,
  work: (index: number) => Promise<unknown>
): Promise<void> => {
  let next = 0
  const worker = async () => {
    for (let index = next++; index < times; index = next++) await work(index)
  }
  await Promise.all(Array.from({ length: together }, worker))
}
