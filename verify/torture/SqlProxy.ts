/**
 * A network between a client and PostgreSQL that breaks: a proxy of bytes that looks at nothing but the kind of each
 * message, and cuts the connection before the server has a statement or before the client has its answer.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/**
 * - `refuse`: the connection breaks before the server has the statement
 * - `lose`: the server executes it, a COMMIT say, and the connection breaks before its answer
 */
export type SqlFault = "refuse" | "lose"

export interface SqlHooks {
  /** A statement is on its way to the server. */
  readonly before: () => SqlFault | null
  /** The server has answered one, and the client does not know yet. */
  readonly after: () => void
}

export interface SqlProxy {
  /** The URL by which the database is reached through this proxy. */
  readonly url: string
  readonly close: () => Promise<void>
}

/** Types of the messages that carry a statement: Query, Parse, Bind, Execute (protocol 3.0, "Message Formats"). */
const statements = new Set(["Q", "P", "B", "E"].map((type) => type.charCodeAt(0)))

export const start = async (databaseUrl: string, hooks: SqlHooks): Promise<SqlProxy> => {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()

  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname)
    let losing = false
    let asked = false
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
      asked = true
      losing = fault === "lose"
      return upstream.write(chunk)
    })
    upstream.on("data", (chunk) => {
      if (asked) {
        asked = false
        hooks.after()
        if (losing) return cut()
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
