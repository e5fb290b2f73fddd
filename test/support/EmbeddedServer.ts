/**
 * One embedded PostgreSQL for a whole vitest run, named as `globalSetup` in vitest.config.ts.
 *
 * It lives in vitest's main process, which outlives every worker, and starts when the first test asks: a run without
 * databases pays nothing. Workers ask over a Unix socket; the answer is where the server is. Whatever happens to
 * vitest, the server's watchdog stops it (src/embedded-postgres/Embedded.ts).
 */
import { mkdtempSync, rmSync } from "node:fs"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Exit, Scope } from "effect"
import type { TestProject } from "vitest/node"
import { start } from "../../src/embedded-postgres/Embedded.ts"

declare module "vitest" {
  interface ProvidedContext {
    /** Path of the Unix socket to ask; undefined where this module is not set up. */
    readonly embeddedServer: string | undefined
  }
}

/** What a worker needs to know to connect, or why it cannot. */
export type Answer =
  | { readonly socketDirectory: string; readonly port: number; readonly user: string }
  | { readonly error: string }

/** A server that starts when it is first asked for. */
const lazyServer = (directory: string) => {
  const scope = Scope.makeUnsafe()
  let answer: Promise<Answer> | undefined
  return {
    ask: (): Promise<Answer> => {
      answer ??= Effect.runPromise(
        start({ dataDirectory: join(directory, "postgres"), durable: false }).pipe(
          Scope.provide(scope),
          Effect.map(({ socketDirectory, port, user }): Answer => ({ socketDirectory, port, user })),
          Effect.catch((error) => Effect.succeed<Answer>({ error: error.message }))
        )
      )
      return answer
    },
    stop: async () => {
      await answer
      await Effect.runPromise(Scope.close(scope, Exit.void))
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

const temporaryDirectory = (): string => mkdtempSync(join(tmpdir(), "gc-test-"))

const setup = async (project: TestProject): Promise<() => Promise<void>> => {
  const directory = temporaryDirectory()
  const server = lazyServer(directory)
  const doorbell = createServer((socket) => {
    socket.on("error", () => undefined)
    void server.ask().then((answer) => socket.end(JSON.stringify(answer)))
  })
  const path = join(directory, "doorbell")
  await new Promise<void>((resolve, reject) => doorbell.once("error", reject).listen(path, resolve))
  project.provide("embeddedServer", path)
  return async () => {
    doorbell.close()
    await server.stop()
  }
}

export default setup

const ring = (path: string): Promise<Answer> =>
  new Promise((resolve) => {
    const socket = connect(path).setEncoding("utf8")
    let said = ""
    socket.on("data", (data) => {
      said += data
    })
    socket.once("error", (cause) => resolve({ error: String(cause) }))
    socket.once("end", () => resolve(JSON.parse(said) as Answer))
  })

let ownServer: ReturnType<typeof lazyServer> | undefined

/** Where the run's server is. Without this module as `globalSetup`, each test file has a server of its own. */
export const ask = (path: string | undefined): Promise<Answer> => {
  if (path !== undefined) return ring(path)
  ownServer ??= lazyServer(temporaryDirectory())
  return ownServer.ask()
}

/** For `afterAll`: stops the file's own server, if it has one. */
export const stop = async (): Promise<void> => {
  await ownServer?.stop()
  ownServer = undefined
}
