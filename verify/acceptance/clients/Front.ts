/** A proxy that serves several servers at one address, by path, as a host does that has a registry and a token server. */
import { createServer, request as send } from "node:http"
import type { AddressInfo } from "node:net"
import { pipeline } from "node:stream"

/** A proxy that listens. */
export interface Front {
  readonly url: string
  readonly close: () => Promise<void>
}

/** Starts a proxy. `targetOf` returns the URL of the server for a path. */
export const startFront = async (targetOf: (path: string) => string): Promise<Front> => {
  const server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? "/"
    const { headers, method } = incoming
    const onward = send(new URL(path, targetOf(path)), { method, headers })
    onward.once("response", (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
      pipeline(answer, outgoing, () => {})
    })
    onward.once("error", () => outgoing.destroy())
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve, reject) =>
    server.once("error", reject).listen(0, "127.0.0.1", () => resolve())
  )
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    }
  }
}
