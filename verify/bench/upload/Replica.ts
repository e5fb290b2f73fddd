/** A registry in its own process, with its own database. */

import { type ChildProcess, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createServer } from "node:net"
import { fileURLToPath } from "node:url"
import { connect } from "../harness/Postgres.ts"
import { ensure } from "../harness/Question.ts"
import type { S3Server, Servers } from "../harness/Servers.ts"
import * as SourceTree from "../harness/SourceTree.ts"

const binary = fileURLToPath(new URL("dist/main.js", SourceTree.root))

/** A running registry. */
export interface Replica {
  readonly url: string
  /** The process. */
  readonly child: ChildProcess
  /** Returns its peak memory so far. */
  readonly peakBytes: () => number
  /** Ends the process. */
  readonly stop: () => Promise<void>
}

/** Creates a database with the tables of catalogue and registry. */
export const freshDatabase = async ({ databaseUrl, s3 }: Servers): Promise<string> => {
  const name = `bench_upload_${randomBytes(4).toString("hex")}`
  const admin = await connect(databaseUrl)
  await admin.query(`CREATE DATABASE ${name}`)
  await admin.close()
  const url = new URL(databaseUrl)
  url.pathname = `/${name}`
  const migrating = spawn(process.execPath, [binary, "migrate", "--create-catalog", "--registry"], {
    stdio: ["ignore", "ignore", 2],
    env: environment(url.href, s3)
  })
  const [code] = await once(migrating, "exit")
  ensure(code === 0, `migrate ended with ${code}`)
  return url.href
}

/** The settings by which the program finds the servers. */
export const environment = (databaseUrl: string, s3: S3Server) => ({
  PATH: process.env.PATH,
  DATABASE_URL: databaseUrl,
  S3_BUCKET: s3.bucket,
  S3_ENDPOINT: s3.endpoint,
  S3_REGION: s3.region,
  S3_ACCESS_KEY_ID: s3.accessKeyId,
  S3_SECRET_ACCESS_KEY: s3.secretAccessKey
})

/** Starts a registry without a collector, which would be measured too. Returns when it accepts requests. */
export const start = async (
  databaseUrl: string,
  s3: S3Server,
  nodeOptions: ReadonlyArray<string> = [],
  settings: Readonly<Record<string, string>> = {}
): Promise<Replica> => {
  const port = await freePort()
  const child = spawn(
    process.execPath,
    [...nodeOptions, binary, "serve", "--no-collect", "--serve-port", String(port)],
    {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...environment(databaseUrl, s3), ...settings }
    }
  )
  let log = ""
  child.stderr.on("data", (text) => {
    log += text
  })
  const url = `http://127.0.0.1:${port}`
  for (let tries = 0; !(await isUp(url)); tries++) {
    ensure(child.exitCode === null && tries < 300, `the registry does not start:\n${log.slice(-2000)}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return {
    url,
    child,
    peakBytes: () => peakOf(child),
    stop: async () => {
      child.kill("SIGTERM")
      await once(child, "exit")
    }
  }
}

const isUp = (url: string) =>
  fetch(`${url}/v2/`).then(
    (answer) => answer.ok,
    () => false
  )

const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  ensure(typeof address === "object" && address !== null, "no port is free")
  await new Promise((closed) => server.close(closed))
  return address.port
}

const peakOf = ({ pid }: ChildProcess): number => {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  ensure(kibibytes !== undefined, "this system does not report the memory of a process")
  return Number(kibibytes) * 1024
}
