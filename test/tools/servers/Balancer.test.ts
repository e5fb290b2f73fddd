/** The balancer of the acceptance suites. If it were kind, they would prove less than they say. */
import { createServer, type IncomingMessage, request, type Server } from "node:http"
import { type AddressInfo, connect } from "node:net"
import { assert, describe, it, onTestFinished } from "vitest"
import { startBalancer } from "../../../tools/servers/Balancer.ts"
import { eventually } from "../../fixtures/Until.ts"

interface Got {
  readonly by: number
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingMessage["headers"]
  body: string
  ended: "whole" | "torn" | null
}

/** Starts two replicas that tell which requests they got, behind a balancer. */
const site = async (answer = (got: Got) => `${got.by} ${got.body}`) => {
  const got: Array<Got> = []
  const servers = await Promise.all(
    [0, 1].map(
      (by) =>
        new Promise<Server>((resolve) => {
          const server = createServer(async (incoming, outgoing) => {
            const { method, url, headers } = incoming
            const entry: Got = { by, method, url, headers, body: "", ended: null }
            got.push(entry)
            try {
              for await (const chunk of incoming) entry.body += chunk
              entry.ended = "whole"
              outgoing.writeHead(202, { "x-by": String(by) }).end(answer(entry))
            } catch {
              entry.ended = "torn"
            }
          })
          server.listen(0, "127.0.0.1", () => resolve(server))
        })
    )
  )
  const targets = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const balancer = await startBalancer({ targets })
  onTestFinished(async () => {
    await balancer.close()
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
  })
  return { got, balancer, port: Number(new URL(balancer.url).port) }
}

describe("the balancer", () => {
  it("sends each request to the other replica, also on one connection, and counts", async () => {
    const { balancer, got } = await site()
    for (let n = 0; n < 5; n++) {
      const response = await fetch(`${balancer.url}/v2/?n=${n}`, { method: "POST", body: `body ${n}` })
      assert.strictEqual(response.status, 202)
      assert.strictEqual(response.headers.get("x-by"), String(n % 2))
      assert.strictEqual(await response.text(), `${n % 2} body ${n}`)
    }
    assert.deepStrictEqual(
      got.map(({ by, url, headers }) => [by, url, headers["content-length"]]),
      [0, 1, 2, 3, 4].map((n) => [n % 2, `/v2/?n=${n}`, "6"])
    )
    assert.deepStrictEqual(balancer.counts(), [3, 2])
  })

  it("sends each request of an upload session to the session's other replica, when sessions take turns too", async () => {
    const { balancer, got } = await site()
    const ask = (path: string) => fetch(`${balancer.url}${path}`, { method: "PATCH", body: "x" })
    // By mere alternation each of the two would have the same replica every time.
    for (let n = 0; n < 4; n++)
      for (const id of ["one", "two"]) await ask(`/v2/a/blobs/uploads/${id}?_o=${n}`)
    for (const id of ["one", "two"]) {
      const by = got.filter(({ url }) => url?.includes(id) === true).map((entry) => entry.by)
      assert.lengthOf(by, 4)
      for (const [index, one] of by.entries()) if (index > 0) assert.notStrictEqual(one, by[index - 1])
    }
    assert.deepStrictEqual(balancer.moves(), { moved: 6, stayed: 0 })
  })

  it("passes a body without a length on without one, and asks for it first where the client waits", async () => {
    const { balancer, got } = await site()
    let asked = false
    const body = await new Promise<string>((resolve, reject) => {
      const sending = request(`${balancer.url}/upload`, {
        method: "PATCH",
        headers: { expect: "100-continue" }
      })
      sending.once("continue", () => {
        asked = true
        sending.write("one ")
        sending.end("two")
      })
      sending.once("response", async (answer) => {
        let text = ""
        for await (const chunk of answer) text += chunk
        resolve(text)
      })
      sending.once("error", reject)
      sending.flushHeaders()
    })
    assert.isTrue(asked)
    assert.strictEqual(body, "0 one two")
    assert.strictEqual(got[0]?.headers["transfer-encoding"], "chunked")
    assert.isUndefined(got[0]?.headers["content-length"])
  })

  for (const [how, headers] of [
    ["that had a length", "Content-Length: 1000"],
    ["in chunks", "Transfer-Encoding: chunked"]
  ] as const) {
    it(`a body ${how} and is torn arrives torn`, async () => {
      const { got, port } = await site()
      const socket = connect(port, "127.0.0.1")
      const piece = headers.startsWith("Content") ? "hello" : "5\r\nhello\r\n"
      socket.write(`PATCH /upload HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n${piece}`)
      await eventually("the replica has the first piece", () => got[0]?.body === "hello")
      socket.destroy()
      await eventually("the request ends at the replica", () => got[0]?.ended !== null)
      assert.strictEqual(got[0]?.ended, "torn")
    })
  }

  it("does not read ahead of a replica that does not read", async () => {
    const waiting = createServer((incoming) => incoming.pause())
    await new Promise<void>((resolve) => waiting.listen(0, "127.0.0.1", resolve))
    const target = `http://127.0.0.1:${(waiting.address() as AddressInfo).port}`
    const balancer = await startBalancer({ targets: [target] })
    onTestFinished(async () => {
      await balancer.close()
      waiting.closeAllConnections()
      waiting.close()
    })
    const sending = request(`${balancer.url}/upload`, { method: "PATCH" })
    sending.on("error", () => undefined)
    let sent = 0
    const piece = Buffer.alloc(1024 * 1024)
    while (sent < 64 && sending.write(piece)) sent += 1
    const flowed = await Promise.race([
      (async () => {
        for (; sent < 64; sent++) await new Promise((resolve) => sending.write(piece, resolve))
        return "all"
      })(),
      new Promise((resolve) => setTimeout(resolve, 1500, "some"))
    ])
    assert.strictEqual(flowed, "some", "64 MiB would have to be in memory")
    sending.destroy()
  })
})
