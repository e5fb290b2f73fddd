/**
 * A proxy between a client and PostgreSQL that breaks connections: before the server has a statement, or
 * before the client has its answer. It forwards bytes and reads only the type of each message.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/**
 * A fault of a statement:
 * - `refuse`: the connection breaks before the server has the statement.
 * - `lose`: the server executes it, for example a COMMIT, and the connection breaks before its answer.
 */
export type SqlFault = "refuse" | "lose"

/** Decides over statements. */
export interface SqlHooks {
  /** Is called before the server has a statement. Returns its fault, or null. */
  readonly before: () => SqlFault | null
  /** Is called when the server has answered and the client has not received the answer. */
  readonly after: () => void
}

/** A running proxy. */
export interface SqlProxy {
  /** The URL of the database through this proxy. */
  readonly url: string
  /** Ends the proxy and its connections. */
  readonly close: () => Promise<void>
}

/**
 * Types of the messages that contain a statement: Query, Parse, Bind, Execute (protocol 3.0, "Message
 * Formats").
 */
const statements = new Set(["Q", "P", "B", "E"].map((type) => type.charCodeAt(0)))

/** Starts a proxy in front of a database. */
export const start = async (databaseUrl: string, hooks: SqlHooks): Promise<SqlProxy> => {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()

  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname)
    let isLost = false
    let isAsked = false
    const cut = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.once("error", cut)
      socket.once("close", () => {
        sockets.delete(socket)
        cut()
      })
    }
    client.on("data", (chunk) => {
      if (!statements.has(chunk[0] ?? 0)) return upstream.write(chunk)
      const fault = hooks.before()
      if (fault === "refuse") return cut()
      isAsked = true
      isLost = fault === "lose"
      return upstream.write(chunk)
    })
    upstream.on("data", (chunk) => {
      if (isAsked) {
        isAsked = false
        hooks.after()
        if (isLost) return cut()
      }
      return client.write(chunk)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const url = new URL(databaseUrl)
  url.hostname = "127.0.0.1"
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      })
  }
}
