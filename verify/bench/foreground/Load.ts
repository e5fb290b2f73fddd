/**
 * The load: references to blobs that exist, each in its own transaction on an open connection, and small
 * blobs that are pushed to a registry in one request each.
 */
import { createHash } from "node:crypto"
import { once } from "node:events"
import { Agent, type IncomingMessage, request } from "node:http"
import { type Connection, connect } from "../harness/Postgres.ts"
import { ensure } from "../harness/Question.ts"
import { runVariant } from "../harness/Variant.ts"
import { arrivalTimes, latencies } from "./OpenLoop.ts"
import { pushRepository, referenceRepository, warmUpRepository } from "./Repositories.ts"

/** Describes the load. */
export interface LoadTask {
  readonly databaseUrl: string
  readonly registryUrl: string
  readonly seed: number
  readonly seconds: number
  readonly referencesPerSecond: number
  readonly pushesPerSecond: number
}

/** Reports the load. */
export interface LoadOutcome {
  /** Milliseconds from the intended arrival to the answer, for each reference. */
  readonly references: ReadonlyArray<number>
  /** The same for each push. */
  readonly pushes: ReadonlyArray<number>
  /** The digest of each reference, in order of their names. */
  readonly referred: ReadonlyArray<string>
  /** The digests of the pushed blobs. */
  readonly pushed: ReadonlyArray<string>
}

const blobBytes = 4096

/** Enough that no work waits for a connection unless the database is slow. */
const connectionsMax = 32

/** Duration of the warm-up, which opens connections, plans statements and compiles code. */
const warmUpSeconds = 2

const digestOf = (body: Buffer) => `sha256:${createHash("sha256").update(body).digest("hex")}`

const pushBlob = async (agent: Agent, base: string, body: Buffer): Promise<void> => {
  const url = new URL(`/v2/${pushRepository}/blobs/uploads/?digest=${digestOf(body)}`, base)
  const headers = { "content-length": body.length, "content-type": "application/octet-stream" }
  const sending = request(url, { agent, method: "POST", headers })
  const answered = once(sending, "response") as Promise<[IncomingMessage]>
  sending.end(body)
  const [answer] = await answered
  const chunks: Array<Buffer> = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  ensure(answer.statusCode === 201, `a push was answered with ${answer.statusCode} ${Buffer.concat(chunks)}`)
}

/** A pool of open connections. Work that waits for a connection is served in order. */
const pool = async (url: string) => {
  const all = await Promise.all(Array.from({ length: connectionsMax }, () => connect(url)))
  const idle = [...all]
  const waiting: Array<(connection: Connection) => void> = []
  const release = (connection: Connection) => {
    const next = waiting.shift()
    if (next === undefined) idle.push(connection)
    else next(connection)
  }
  return {
    use: async <A>(work: (connection: Connection) => Promise<A>): Promise<A> => {
      const connection = idle.pop() ?? (await new Promise<Connection>((take) => waiting.push(take)))
      try {
        return await work(connection)
      } finally {
        release(connection)
      }
    },
    close: async () => {
      await Promise.all(all.map((connection) => connection.close()))
    }
  }
}

await runVariant<LoadTask, LoadOutcome>(async (task) => {
  const { seed, seconds, referencesPerSecond, pushesPerSecond } = task
  const database = await pool(task.databaseUrl)
  const agent = new Agent({ keepAlive: true })
  const blobs = await database.use((connection) =>
    connection.query("SELECT DISTINCT digest FROM artifacts WHERE repository = 'bench' LIMIT 20000")
  )
  const digests = blobs.map(({ digest }) => String(digest))
  ensure(digests.length > 0, "there is no blob to refer to")
  // An order that differs from that of the table.
  const digestFor = (index: number) => digests[(index * 7919) % digests.length] ?? ""

  const refer = (repository: string) => (index: number) =>
    database.use(async (connection) => {
      await connection.query(
        "INSERT INTO artifacts (repository, name, digest, created_at) VALUES ($1, $2, $3, now())",
        [repository, String(index), digestFor(index)]
      )
    })
  const bodyOf = (name: string) => Buffer.alloc(blobBytes, createHash("sha256").update(name).digest())
  const push = (kind: string) => (index: number) =>
    pushBlob(agent, task.registryUrl, bodyOf(`${kind} ${seed} ${index}`))

  const run = async (kind: string, lasting: number) => {
    const references = arrivalTimes(seed, referencesPerSecond, lasting)
    const pushes = arrivalTimes(seed + 1, pushesPerSecond, lasting)
    const [referenceMillis, pushMillis] = await Promise.all([
      latencies(references, refer(kind)),
      latencies(pushes, push(kind))
    ])
    return {
      references: referenceMillis,
      pushes: pushMillis,
      referred: references.map((_, index) => digestFor(index)),
      pushed: pushes.map((_, index) => digestOf(bodyOf(`${kind} ${seed} ${index}`)))
    }
  }
  await run(warmUpRepository, warmUpSeconds)
  return {
    run: () => run(referenceRepository, seconds),
    close: async () => {
      agent.destroy()
      await database.close()
    }
  }
})
