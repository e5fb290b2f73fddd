/** What the socket of a server tells about it. Both questions also see a server in another container of the machine. */
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { Effect } from "effect"

/** Port, which is part of the socket's name. TCP is off, so nothing listens on it. */
export const port = 5432
/** Name of the socket in its directory. */
export const socketName = `.s.PGSQL.${port}`
/** Name of the superuser, and of the database. */
export const superuser = "postgres"

/** Returns whether a server accepts connections on the socket. PostgreSQL's own check by pid is blind to other containers. */
export const answers = (directory: string): Effect.Effect<boolean> =>
  asked(directory, (socket, settle) => socket.once("connect", () => settle(true)))

/**
 * Returns whether the server opens a session. One that starts, or that its owner is stopping, accepts connections and
 * refuses sessions.
 */
export const admits = (directory: string): Effect.Effect<boolean> =>
  asked(directory, (socket, settle) =>
    socket
      .once("connect", () => socket.write(startup))
      // A request for authentication or the permission, otherwise an error.
      .once("data", (data) => {
        socket.write(terminate)
        settle(data.subarray(0, 1).toString() === "R")
      })
      .once("close", () => settle(false))
  )

/** How long a server may be silent. A session takes milliseconds, and a busy machine hundreds of them. */
const silenceMsMax = 5_000

const asked = (
  directory: string,
  ask: (socket: Socket, settle: (answer: boolean) => void) => void
): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = connect(join(directory, socketName))
    const settle = (answer: boolean) => {
      socket.destroySoon()
      resume(Effect.succeed(answer))
    }
    socket.on("error", () => settle(false)).setTimeout(silenceMsMax, () => settle(false))
    ask(socket, settle)
    return Effect.sync(() => socket.destroy())
  })

/** PostgreSQL's protocol, version 3.0: StartupMessage. */
const startup = (() => {
  const text = Buffer.from(`user\0${superuser}\0database\0${superuser}\0\0`)
  const head = Buffer.alloc(8)
  head.writeInt32BE(head.length + text.length, 0)
  head.writeInt32BE(196_608, 4)
  return Buffer.concat([head, text])
})()

/** PostgreSQL's protocol: Terminate. */
const terminate = Buffer.from([0x58, 0, 0, 0, 4])
