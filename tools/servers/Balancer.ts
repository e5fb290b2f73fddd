/**
 * A balancer as unkind as possible, for tests of replicas. Each request is sent to another replica than the
 * request before, whatever connection it arrived on. Each request of an upload session is sent to another
 * replica than that session's last request, also when several sessions take turns. Bodies stream both ways
 * and are not buffered, so a slow or vanished client looks slow or vanished to the replica, too.
 */
import { Agent, createServer, type IncomingMessage, type ServerResponse, request as send } from "node:http"
import type { AddressInfo } from "node:net"
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

/** Returns raw headers, names and values by turns, without those of the connection. */
const forwarded = (rawHeaders: ReadonlyArray<string>): Array<string> => {
  const headers: Array<string> = []
  for (const [at, name] of rawHeaders.entries()) {
    const value = rawHeaders[at + 1]
    if (at % 2 === 0 && value !== undefined && !ofConnection.has(name.toLowerCase()))
      headers.push(name, value)
  }
  return headers
}

/** Returns the upload session that a path or a Location names. */
const sessionOf = (path: string | undefined): string | undefined =>
  /\/blobs\/uploads\/([^/?]+)/.exec(path ?? "")?.[1]

/** How many requests of upload sessions changed the replica, and how many did not. */
export interface Moves {
  readonly moved: number
  readonly stayed: number
}

export interface Balancer {
  readonly url: string
  /** Returns how many requests each target received. */
  readonly counts: () => ReadonlyArray<number>
  readonly moves: () => Moves
  /** Returns how many blobs were mounted from another repository. */
  readonly mounts: () => number
  readonly close: () => Promise<void>
}

export interface BalancerOptions {
  /** The replicas' URLs. */
  readonly targets: ReadonlyArray<string>
}

/** Starts a balancer on a free port of this machine. */
export const startBalancer = async ({ targets }: BalancerOptions): Promise<Balancer> => {
  const counts = targets.map(() => 0)
  const agent = new Agent({ keepAlive: true })
  const lastOf = new Map<string, number>()
  const moves = { moved: 0, stayed: 0 }
  let turn = 0
  let mounts = 0

  const choose = (session: string | undefined): number => {
    const last = session === undefined ? undefined : lastOf.get(session)
    const next = turn % targets.length
    const index = last === next ? (next + 1) % targets.length : next
    // A session that must not have this turn's target leaves the turn to the next request.
    if (index === next) turn += 1
    if (last !== undefined) moves[index === last ? "stayed" : "moved"] += 1
    if (session !== undefined) lastOf.set(session, index)
    return index
  }

  const serve = (incoming: IncomingMessage, outgoing: ServerResponse, expectsContinue: boolean): void => {
    const index = choose(sessionOf(incoming.url))
    counts[index] = (counts[index] ?? 0) + 1
    const headers = forwarded(incoming.rawHeaders)
    // A request without a length is forwarded without one.
    const isChunked = incoming.headers["transfer-encoding"] !== undefined
    if (isChunked) headers.push("Transfer-Encoding", "chunked")
    const onward = send(new URL(incoming.url ?? "/", targets[index]), {
      method: incoming.method,
      headers,
      agent
    })
    if (expectsContinue) onward.once("continue", () => outgoing.writeContinue())
    onward.once("response", (answer) => {
      const session = answer.statusCode === 202 ? sessionOf(answer.headers.location) : undefined
      if (session !== undefined) lastOf.set(session, index)
      if (answer.statusCode === 201 && /[?&]mount=/.test(incoming.url ?? "")) mounts += 1
      outgoing.writeHead(answer.statusCode ?? 502, answer.statusMessage, forwarded(answer.rawHeaders))
      pipeline(answer, outgoing, () => {})
    })
    onward.once("error", () => {
      if (outgoing.headersSent) outgoing.destroy()
      else outgoing.writeHead(502, { connection: "close" }).end()
    })
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) onward.destroy()
    })
    // A client that disconnects in the middle of a body must look so to the replica, too.
    incoming.once("aborted", () => onward.destroy())
    incoming.pipe(onward)
  }

  const server = createServer((incoming, outgoing) => serve(incoming, outgoing, false))
  server.on("checkContinue", (incoming, outgoing) => serve(incoming, outgoing, true))
  server.requestTimeout = 0
  await new Promise<void>((resolve, reject) =>
    server.once("error", reject).listen(0, "127.0.0.1", () => resolve())
  )
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts: () => [...counts],
    moves: () => ({ ...moves }),
    mounts: () => mounts,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      agent.destroy()
      await closed
    }
  }
}
