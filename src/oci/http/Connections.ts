/**
 * How many connections are open, and which one ends when there are too many: so that idle ones, or one client's many, leave a
 * connection for others.
 */
import { EventEmitter } from "node:events"
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { shareOf } from "./ClientAddress.ts"

/** Limits of connections. */
export interface ConnectionLimits {
  /** The most connections. Beyond it the one that has been idle for longest ends, or one of a client that holds most. */
  readonly max: number
}

/** No client of a registry sends requests before it has read the responses to this many. */
const pipelinedMax = 16

/** What is known of a connection. */
export interface Connection {
  readonly client: string
  /** How many of its requests are under way. */
  requests: number
  /** Its place in the order in which connections became idle or busy. */
  since: number
}

/**
 * Returns which connection ends so that `next` may stay: the idle one of the client that holds most, then the one that has been
 * idle for longest. If all are busy, the oldest of a client that holds more than half of all. Otherwise `next` itself.
 */
export const victimOf = <C extends Connection>(connections: Iterable<C>, next: C): C => {
  const all = [...connections]
  const shares = new Map<string, number>()
  for (const { client } of all) shares.set(client, (shares.get(client) ?? 0) + 1)
  const share = ({ client }: Connection) => shares.get(client) ?? 0
  const others = all.filter((connection) => connection !== next)
  const idle = others.filter(({ requests }) => requests === 0)
  const greedy = others.filter(
    (connection) => connection.client !== next.client && 2 * share(connection) > all.length
  )
  const among = idle.length > 0 ? idle : greedy
  return among.reduce((worst, connection) => {
    const more = share(connection) - share(worst)
    return more > 0 || (more === 0 && connection.since < worst.since) ? connection : worst
  }, among[0] ?? next)
}

/** A request with its response, as Node emits them: the second event is that of a client that waits to send its body. */
interface Request {
  readonly event: "request" | "checkContinue"
  readonly message: IncomingMessage
  readonly response: ServerResponse
}

interface Open extends Connection {
  readonly socket: Socket
  readonly peer: string
  /** Requests that wait for those before them. */
  readonly waiting: Array<Request>
}

/**
 * The server as those see it who serve its requests. They listen here instead of on Node's server, which would hand them each
 * request as it arrives.
 *
 * It has no `upgrade`: without a listener Node serves such a request as any other. Java's client asks to upgrade to HTTP/2 with
 * its first request, and a listener would end its connection, and refuse its body.
 */
export class InTurn extends EventEmitter {
  readonly #server: Server

  constructor(server: Server) {
    super()
    this.#server = server
    server.on("error", (error) => this.emit("error", error))
  }

  get listening(): boolean {
    return this.#server.listening
  }

  address(): ReturnType<Server["address"]> {
    return this.#server.address()
  }

  listen(...values: Parameters<Server["listen"]>): this {
    this.#server.listen(...values)
    return this
  }

  close(...values: Parameters<Server["close"]>): this {
    this.#server.close(...values)
    return this
  }
}

/**
 * Bounds the connections of a server, and the requests under way on each. A connection's requests are served one after another,
 * as their responses are sent: a client that sends hundreds at once costs no more than its first ones. Returns where to listen
 * for them.
 */
export const bound = (server: Server, { max }: ConnectionLimits): InTurn => {
  const inTurn = new InTurn(server)
  const open = new Map<string, Open>()
  let changes = 0
  server.on("connection", (socket) => {
    const client = shareOf(socket.remoteAddress ?? "")
    const peer = peerOf(socket)
    const connection: Open = { client, requests: 0, since: changes++, socket, peer, waiting: [] }
    open.set(peer, connection)
    socket.once("close", () => {
      if (open.get(peer) === connection) open.delete(peer)
      connection.waiting.length = 0
    })
    if (open.size <= max) return
    const victim = victimOf(open.values(), connection)
    open.delete(victim.peer)
    victim.socket.destroy()
  })
  const serve = (connection: Open, { event, message, response }: Request): void => {
    response.once("finish", () => {
      if (!message.complete) setImmediate(stopReading, message.socket)
    })
    response.once("close", () => {
      connection.requests -= 1
      connection.since = changes++
      // After a response that ends its connection, a further request may be the body of the one before.
      if (message.socket.destroyed || message.socket.writableEnded) return
      const next = connection.waiting.shift()
      if (next !== undefined) serve(connection, next)
    })
    inTurn.emit(event, message, response)
  }
  const begin = (request: Request): void => {
    const { socket } = request.message
    // Node parses on after a connection was destroyed.
    if (socket.destroyed) return
    const connection = open.get(peerOf(socket))
    if (connection === undefined) return void inTurn.emit(request.event, request.message, request.response)
    connection.requests += 1
    connection.since = changes++
    if (connection.requests === 1) serve(connection, request)
    else if (connection.requests > pipelinedMax) socket.destroy()
    else connection.waiting.push(request)
  }
  server.on("request", (message, response) => begin({ event: "request", message, response }))
  server.on("checkContinue", (message, response) => begin({ event: "checkContinue", message, response }))
  return inTurn
}

/**
 * Stops reading from a connection that ends. Node reads what is left of a body until the response has been sent: up to two
 * megabytes in a row, which are 350,000 chunks of a byte.
 */
const stopReading = (socket: Socket): void => {
  if (socket.writableEnded && !socket.destroyed) socket.pause()
}

/** Names a connection. With TLS a request has another socket than its connection, but both have the same peer. */
const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`
