/**
 * What a hostile or broken client does to a registry. Each attack has a bounded number of connections to the loopback address,
 * and ends with them. They run in a thread of their own (AttackThread.ts), so that they do not slow the honest client down.
 */
import { randomBytes } from "node:crypto"
import { connect, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

/** Where the attacks find the registry, and what it has. */
export interface Victim {
  readonly port: number
  /** The digest of a large blob of the repository `victim`. */
  readonly large: string
}

/** Attacks until the signal ends it. */
export type Attack = (field: Field) => Promise<void>

/** Opens connections, and closes them with the attack. */
export class Field {
  readonly victim: Victim
  readonly signal: AbortSignal
  /** Called once the connections of the attack are open. */
  readonly stands: () => void
  readonly #sockets = new Set<Socket>()
  /** The beginnings of answers, of connections that ended, too. */
  readonly answers: Array<string> = []

  constructor(victim: Victim, signal: AbortSignal, stands: () => void) {
    if (!Number.isInteger(victim.port)) throw new Error("An attack needs a port of the loopback address")
    this.victim = victim
    this.signal = signal
    this.stands = stands
  }

  /** Opens a connection to the loopback address, and to no other. */
  open(): Promise<Socket> {
    return new Promise((resolve) => {
      const socket = connect({ host: "127.0.0.1", port: this.victim.port }, () => resolve(socket))
      this.#sockets.add(socket)
      socket.on("error", () => resolve(socket)).on("close", () => this.#sockets.delete(socket))
    })
  }

  /** Opens a connection that sends `text` and notes how it is answered. */
  async send(text: string | Uint8Array): Promise<Socket> {
    const socket = await this.open()
    socket.once("data", (data) => this.answers.push(data.toString("latin1", 0, 400)))
    socket.write(text)
    return socket
  }

  /** Begins an upload and returns its address. */
  async begin(): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.victim.port}/v2/attack/blobs/uploads/`, {
      method: "POST",
      signal: AbortSignal.timeout(10_000)
    }).catch(() => null)
    await response?.arrayBuffer()
    return response?.headers.get("location") ?? "/v2/attack/blobs/uploads/x?_o=0"
  }

  /** Calls `work` again and again. */
  async repeat(millis: number, work: () => unknown): Promise<void> {
    this.stands()
    while (!this.signal.aborted) {
      await work()
      await sleep(millis)
    }
  }

  end(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

const times = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const head = (method: string, path: string, ...headers: ReadonlyArray<string>): string =>
  `${[`${method} ${path} HTTP/1.1`, "Host: 127.0.0.1", ...headers].join("\r\n")}\r\n\r\n`

/** Sends a byte on each connection now and then, and replaces connections that the registry closed. */
const drip = async (field: Field, everyMillis: number, start: () => Promise<Socket>, count: number) => {
  const sockets = await Promise.all(times(count).map(start))
  await field.repeat(everyMillis, async () => {
    for (const [index, socket] of sockets.entries()) {
      if (socket.writable) socket.write("x")
      else if (!field.signal.aborted) sockets[index] = await start()
    }
  })
}

const slowBodies: Attack = async (field) =>
  drip(
    field,
    2000,
    async () => field.send(head("PATCH", await field.begin(), "Content-Length: 10000000") + "x".repeat(100)),
    64
  )

const heavyBodies: Attack = async (field) =>
  drip(
    field,
    2000,
    async () => {
      const socket = await field.send(head("PATCH", await field.begin(), "Transfer-Encoding: chunked"))
      const bytes = 4 * 1024 * 1024
      socket.write(`${bytes.toString(16)}\r\n`)
      socket.write(Buffer.alloc(bytes - 1000))
      return socket
    },
    48
  )

const slowManifests: Attack = async (field) =>
  drip(
    field,
    1000,
    async () => {
      const socket = await field.send(head("PUT", "/v2/attack/manifests/t", "Content-Length: 4000000"))
      socket.write(Buffer.alloc(3_900_000, " "))
      return socket
    },
    20
  )

const slowReaders: Attack = async (field) => {
  const start = async () => {
    const socket = await field.open()
    socket.pause()
    socket.write(head("GET", `/v2/victim/blobs/${field.victim.large}`))
    return socket
  }
  const sockets = await Promise.all(times(64).map(start))
  await field.repeat(1000, async () => {
    for (const [index, socket] of sockets.entries()) {
      socket.read(20_000)
      if (socket.destroyed && !field.signal.aborted) sockets[index] = await start()
    }
  })
}

const hugeLengths: Attack = async (field) =>
  field.repeat(200, async () => {
    const path = await field.begin()
    const lengths = ["5000000000000", "50000000000000", "9007199254740993", "1000000000000000000"]
    for (const length of lengths) {
      const socket = await field.send(head("PATCH", path, `Content-Length: ${length}`))
      socket.write(Buffer.alloc(1024 * 1024))
      setTimeout(() => socket.destroy(), 2000).unref()
    }
  })

const idleConnections: Attack = async (field) =>
  field.repeat(1000, async () => {
    for (const index of times(200)) {
      const socket = await field.open()
      if (index % 2 === 0) socket.write("GET /v2/ HTTP/1.1\r\nHost:")
    }
  })

const tinyChunks: Attack = async (field) => {
  const chunks = "1\r\nx\r\n".repeat(500)
  const sockets = await Promise.all(
    times(4).map(async () => field.send(head("PATCH", await field.begin(), "Transfer-Encoding: chunked")))
  )
  await field.repeat(10, async () => {
    for (const [index, socket] of sockets.entries()) {
      if (socket.writable && socket.writableLength === 0) socket.write(chunks)
      if (socket.destroyed && !field.signal.aborted)
        sockets[index] = await field.send(head("PATCH", await field.begin(), "Transfer-Encoding: chunked"))
    }
  })
}

/** One read of a server holds 64 KiB, which no limit of a body sees. Each of these requests fills one, and ends at once. */
const shortRequests: Attack = async (field) => {
  const body = "1\r\nx\r\n".repeat(10_000)
  await field.repeat(100, async () => {
    const path = await field.begin()
    const sockets = await Promise.all(
      times(2).map(() => field.send(`${head("PATCH", path, "Transfer-Encoding: chunked")}${body}0\r\n\r\n`))
    )
    for (const socket of sockets) setTimeout(() => socket.destroy(), 5000).unref()
  })
}

const garbage: Attack = async (field) =>
  field.repeat(50, async () => {
    await field.send(randomBytes(2000))
    await field.send(head("GET", "/v2/").repeat(200))
    await field.send(`${head("GET", "/v2/%zz/%00/tags/list")}${head("BREW", "/v2/")}`)
  })

const smuggled = head("DELETE", "/v2/victim/manifests/kept")

const smuggling: Attack = async (field) =>
  field.repeat(100, async () => {
    const path = "/v2/attack/blobs/uploads/x?_o=0"
    const length = `Content-Length: ${smuggled.length + 5}`
    for (const headers of [
      [length, "Transfer-Encoding: chunked"],
      ["Transfer-Encoding: chunked", length],
      [length, "Content-Length: 0"],
      ["Transfer-Encoding: xchunked", length],
      ["Transfer-Encoding : chunked", length],
      ["Transfer-Encoding:\x0bchunked", length],
      [length, "Transfer-Encoding: chunked, identity"],
      [` folded: x\r\n ${length}`]
    ])
      await field.send(`${head("PATCH", path, ...headers)}0\r\n\r\n${smuggled}`)
  })

/** All attacks, by name. */
export const attacks: Readonly<Record<string, Attack>> = {
  "slow bodies": slowBodies,
  "heavy slow bodies": heavyBodies,
  "slow manifests": slowManifests,
  "slow readers": slowReaders,
  "huge declared lengths": hugeLengths,
  "idle connections": idleConnections,
  "tiny chunks": tinyChunks,
  "tiny chunks in short requests": shortRequests,
  garbage,
  smuggling
}
