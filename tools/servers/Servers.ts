/**
 * The real servers of tests and benchmarks: PostgreSQL 15 with PgBouncer, and an S3 server, fresh for each start and removed
 * afterwards. Needs only Node 20 and, for {@link install}, Debian 12.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { resolve } from "node:path"
import { type EndingSignal, onEndingSignal, Usage } from "../Program.ts"
import { fileAt } from "../Repository.ts"
import { createBucket, type S3Place } from "./Bucket.ts"
import * as Chromium from "./Chromium.ts"
import { minio, versitygw } from "./Golang.ts"
import * as Pgbouncer from "./Pgbouncer.ts"
import * as Postgres from "./Postgres.ts"
import { dieWithParent, endOf, exitCodeOf, Group } from "./Processes.ts"
import * as Prometheus from "./Prometheus.ts"
import { radosgw } from "./Radosgw.ts"
import type { S3Server } from "./S3Server.ts"
import * as Shells from "./Shells.ts"

/**
 * Returns the folder into which everything is fetched: ARTIFACT_GC_REAL_DIR, or `.real/` in the repository.
 */
export const cacheFolder = (): string => resolve(process.env.ARTIFACT_GC_REAL_DIR || fileAt(".real"))

const s3Servers: ReadonlyArray<S3Server> = [radosgw, minio, versitygw]

/** Returns the S3 server that ARTIFACT_GC_REAL_S3 names, or radosgw. */
export const s3Server = (): S3Server => named(process.env.ARTIFACT_GC_REAL_S3 || radosgw.name)

const named = (wanted: string): S3Server => {
  const server = s3Servers.find(({ name }) => name === wanted)
  if (!server) throw new Usage(`${wanted}: choose radosgw, minio or versitygw.`)
  return server
}

/** Fetches what is missing of PostgreSQL, PgBouncer and these S3 servers. Default: the one that {@link s3Server} returns. */
export const install = async (names: ReadonlyArray<string> = [s3Server().name]): Promise<void> => {
  const servers = names.map(named)
  await Postgres.install(cacheFolder())
  await Pgbouncer.install(cacheFolder())
  await Prometheus.install(cacheFolder())
  await Chromium.install(cacheFolder())
  await Shells.install(cacheFolder())
  for (const server of servers) await server.install(cacheFolder())
}

/** Where the servers are. */
export interface Found {
  readonly databaseUrl: string
  /** PgBouncer before that database. */
  readonly poolerUrl: string
  readonly s3: S3Place & { readonly server: string }
}

export interface Started extends Found {
  /** The same as environment variables. */
  readonly env: Readonly<Record<string, string>>
  /** Ends the servers and removes everything that they wrote. */
  readonly stop: () => Promise<void>
}

export interface UpOptions {
  /** Whether PostgreSQL waits for the disk. Default: true. */
  readonly fsync?: boolean
  /**
   * The group that owns the processes: its owner can stop a start that is under way. Default: a new group.
   */
  readonly group?: Group
}

/** Starts both servers. Stops them again if either does not start. */
export const up = async ({ fsync = true, group = new Group() }: UpOptions = {}): Promise<Started> => {
  const starts: Array<Promise<unknown>> = []
  try {
    const server = s3Server()
    const account = {
      region: "us-east-1",
      accessKeyId: `TEST${randomBytes(8).toString("hex").toUpperCase()}`,
      secretAccessKey: randomBytes(20).toString("hex"),
      bucket: "artifact-gc-test"
    }
    const ready = (endpoint: string) => createBucket({ ...account, endpoint })
    const databaseStart = Postgres.start(group, cacheFolder(), { fsync })
    const storeStart = server.start(group, cacheFolder(), account, ready)
    starts.push(databaseStart, storeStart)
    const poolerStart = databaseStart.then(({ url }) => Pgbouncer.start(group, cacheFolder(), url))
    starts.push(poolerStart)
    const [{ url }, { url: poolerUrl }, { endpoint }] = await Promise.all([
      databaseStart,
      poolerStart,
      storeStart
    ])
    const found: Found = { databaseUrl: url, poolerUrl, s3: { server: server.name, endpoint, ...account } }
    return { ...found, env: environment(found), stop: () => group.stop() }
  } catch (error) {
    await group.stop()
    // The other start fails in turn now that its processes have ended. Its error is not the cause.
    await Promise.allSettled(starts)
    await group.stop()
    throw error
  }
}

const environment = ({ databaseUrl, poolerUrl, s3 }: Found): Record<string, string> => ({
  REAL_DATABASE_URL: databaseUrl,
  REAL_POOLER_URL: poolerUrl,
  REAL_S3_SERVER: s3.server,
  REAL_S3_ENDPOINT: s3.endpoint,
  REAL_S3_REGION: s3.region,
  REAL_S3_ACCESS_KEY_ID: s3.accessKeyId,
  REAL_S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
  REAL_S3_BUCKET: s3.bucket
})

export interface RunWithServersOptions {
  readonly fsync?: boolean
  /** Variables that the command gets beside those of the servers. */
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Starts both servers, runs a command that finds them in its environment, and stops them. Returns its exit
 * code.
 */
export const runWithServers = async (
  command: string,
  args: ReadonlyArray<string>,
  { fsync = true, env = {} }: RunWithServersOptions = {}
): Promise<number> => {
  const group = new Group()
  let child: ChildProcess | undefined
  let stopping: EndingSignal | undefined
  const stop = (signal: EndingSignal) => {
    // A second request kills the command.
    child?.kill(stopping ? "SIGKILL" : signal)
    stopping ??= signal
    if (!child) void group.stop()
  }
  const stopped = () => exitCodeOf({ code: null, signal: stopping ?? "SIGTERM" })
  onEndingSignal(stop)
  // A CI job may be killed without notice to its children. Elsewhere a user may have detached this process on
  // purpose.
  const parent = process.ppid
  const orphaned = process.env.CI
    ? setInterval(() => process.ppid !== parent && stop("SIGTERM"), 5000)
    : undefined
  try {
    const servers = await up({ fsync, group })
    if (stopping) return stopped()
    const [program, programArgs] = dieWithParent(command, args, "SIGTERM")
    child = spawn(program, programArgs, { stdio: "inherit", env: { ...process.env, ...servers.env, ...env } })
    return exitCodeOf(await endOf(child))
  } catch (error) {
    if (stopping) return stopped()
    throw error
  } finally {
    clearInterval(orphaned)
    await group.stop()
  }
}
