/**
 * A balancer as unkind as can be: every request goes to another replica than the one before, whatever connection it came
 * by; and every request of an upload session to another than the session's last one, also when several sessions take
 * turns. Bodies stream through both ways and nothing is kept, so that a client is as slow, and as gone, as it is.
 */
import { Agent, createServer, request as send } from "node:http"
import { pipeline } from "node:stream"

/** Headers of a connection and not of a request (RFC 9110 §7.6.1). */
const ofConnection = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

const forwarded = (rawHeaders) => {
  const headers = []
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (!ofConnection.has(rawHeaders[at].toLowerCase())) headers.push(rawHeaders[at], rawHeaders[at + 1])
  }
  return headers
}

/** The upload session that a path or a Location names. */
const sessionOf = (path) => /\/blobs\/uploads\/([^/?]+)/.exec(path ?? "")?.[1]

/**
 * Starts one on a free port of this machine. `counts()` says how many requests each target got, `moves()` how many
 * requests of upload sessions went to another target than the session's last, and how many did not.
 */
export const startBalancer = async ({ targets }) => {
  const counts = targets.map(() => 0)
  const agent = new Agent({ keepAlive: true })
  const lastOf = new Map()
  const moves = { moved: 0, stayed: 0 }
  let turn = 0

  const choose = (session) => {
    const last = lastOf.get(session)
    const next = turn % targets.length
    const index = last === next ? (next + 1) % targets.length : next
    // Out of turn for its session's sake: whoever comes next has the turn that it did not take.
    if (index === next) turn += 1
    if (last !== undefined) moves[index === last ? "stayed" : "moved"] += 1
    if (session !== undefined) lastOf.set(session, index)
    return index
  }

  const serve = (incoming, outgoing, expectsContinue) => {
    const index = choose(sessionOf(incoming.url))
    counts[index] += 1
    const headers = forwarded(incoming.rawHeaders)
    // What had no length goes on without one.
    const isChunked = incoming.headers["transfer-encoding"] !== undefined
    if (isChunked) headers.push("Transfer-Encoding", "chunked")
    const onward = send(new URL(incoming.url, targets[index]), { method: incoming.method, headers, agent })
    if (expectsContinue) onward.once("continue", () => outgoing.writeContinue())
    onward.once("response", (answer) => {
      const session = answer.statusCode === 202 ? sessionOf(answer.headers.location) : undefined
      if (session !== undefined) lastOf.set(session, index)
      outgoing.writeHead(answer.statusCode, answer.statusMessage, forwarded(answer.rawHeaders))
      pipeline(answer, outgoing, () => {})
    })
    onward.once("error", () => {
      if (outgoing.headersSent) outgoing.destroy()
      else outgoing.writeHead(502, { connection: "close" }).end()
    })
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) onward.destroy()
    })
    // A client that goes away in the middle of a body must look so to the replica, too.
    incoming.once("aborted", () => onward.destroy())
    incoming.pipe(onward)
  }

  const server = createServer((incoming, outgoing) => serve(incoming, outgoing, false))
  server.on("checkContinue", (incoming, outgoing) => serve(incoming, outgoing, true))
  server.requestTimeout = 0
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    counts: () => [...counts],
    moves: () => ({ ...moves }),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      agent.destroy()
      await closed
    }
  }
}
