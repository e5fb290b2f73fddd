/** A proxy that counts the bytes of both directions. */
import { type AddressInfo, connect, createServer } from "node:net"

/** A running proxy. */
export interface Meter {
  readonly url: string
  /** Returns the number of bytes sent to the server. */
  readonly sent: () => number
  /** Returns the number of bytes received from the server. */
  readonly received: () => number
  /** Returns the number of requests. */
  readonly requests: () => number
  /** Ends the proxy. */
  readonly close: () => void
}

/** Starts a proxy in front of a server. */
export const start = async (target: string): Promise<Meter> => {
  const { hostname, port } = new URL(target)
  const counts = { sent: 0, received: 0, requests: 0 }
  const server = createServer((near) => {
    const far = connect(Number(port), hostname)
    near.on("data", (bytes) => {
      counts.sent += bytes.length
      // A client writes the head of a request when it has read the answer to the one before, so a head begins a piece.
      if (isHead(bytes)) counts.requests += 1
    })
    far.on("data", (bytes) => {
      counts.received += bytes.length
    })
    near.pipe(far).pipe(near)
    for (const [one, other] of [
      [near, far],
      [far, near]
    ] as const) {
      one.once("error", () => other.destroy())
      one.once("close", () => other.destroy())
    }
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sent: () => counts.sent,
    received: () => counts.received,
    requests: () => counts.requests,
    close: () => void server.close()
  }
}

const isHead = (bytes: Buffer): boolean =>
  /^(?:GET|HEAD|PUT|POST|DELETE) \//.test(bytes.toString("latin1", 0, 8))
