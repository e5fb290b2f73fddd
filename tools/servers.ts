#!/usr/bin/env node
/**
 * The real servers of the real test suite and of the benchmarks: PostgreSQL 15 and an S3 server,
 * fresh for each start, gone afterwards. Needs nothing but Node 20 and, for `install`, Debian 12.
 *
 *   node scripts/servers.mjs install               fetch what is missing into the cache folder
 *   node scripts/servers.mjs up [options]          start both, print where they are as JSON, run until SIGINT or SIGTERM
 *   node scripts/servers.mjs run [options] -- cmd  start both, run cmd with REAL_DATABASE_URL and REAL_S3_… set, stop
 *
 *   --no-fsync         PostgreSQL does not wait for the disk
 *   --stdin-lifeline   `up` also stops when its standard input is closed
 *
 *   ARTIFACT_GC_REAL_DIR   the cache folder, .real/ in the repository by default
 *   ARTIFACT_GC_REAL_S3    radosgw (default), minio or versitygw
 *
 * Exit code 3 says that this machine lacks something; the message says what and how to get it.
 */
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { realpathSync } from "node:fs"
import { constants } from "node:os"
import { resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { createBucket } from "./servers/bucket.mjs"
import { minio, versitygw } from "./servers/golang.mjs"
import * as postgres from "./servers/postgres.mjs"
import { dieWithParent, Group, Missing } from "./servers/processes.mjs"
import * as radosgw from "./servers/radosgw.mjs"

export { Missing }

export const cacheFolder = () =>
  resolve(process.env.ARTIFACT_GC_REAL_DIR || fileURLToPath(new URL("../.real", import.meta.url)))

const s3Server = () => {
  const wanted = process.env.ARTIFACT_GC_REAL_S3 || radosgw.name
  const server = [radosgw, minio, versitygw].find(({ name }) => name === wanted)
  if (!server) throw new Error(`ARTIFACT_GC_REAL_S3=${wanted}: choose radosgw, minio or versitygw.`)
  return server
}

/** Fetches what is missing; does nothing when all is there. */
export const install = async () => {
  await postgres.install(cacheFolder())
  await s3Server().install(cacheFolder())
}

/**
 * Starts both servers. Returns where they are, the same as environment variables, and `stop`, which
 * ends them and removes everything they wrote. `group` lets the caller stop a start that is under way.
 */
export const up = async ({ fsync = true, group = new Group() } = {}) => {
  let starts = []
  try {
    const server = s3Server()
    const s3 = {
      server: server.name,
      region: "us-east-1",
      accessKeyId: `TEST${randomBytes(8).toString("hex").toUpperCase()}`,
      secretAccessKey: randomBytes(20).toString("hex"),
      bucket: "artifact-gc-test"
    }
    const ready = (endpoint) => createBucket({ ...s3, endpoint })
    starts = [postgres.start(group, cacheFolder(), { fsync }), server.start(group, cacheFolder(), s3, ready)]
    const [database, { endpoint }] = await Promise.all(starts)
    const found = { databaseUrl: database.url, s3: { endpoint, ...s3 } }
    return { ...found, env: environment(found), stop: () => group.stop() }
  } catch (error) {
    await group.stop()
    // The other start fails in turn now that its processes are gone; its error is not the cause.
    await Promise.allSettled(starts)
    await group.stop()
    throw error
  }
}

const environment = ({ databaseUrl, s3 }) => ({
  REAL_DATABASE_URL: databaseUrl,
  REAL_S3_SERVER: s3.server,
  REAL_S3_ENDPOINT: s3.endpoint,
  REAL_S3_REGION: s3.region,
  REAL_S3_ACCESS_KEY_ID: s3.accessKeyId,
  REAL_S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
  REAL_S3_BUCKET: s3.bucket
})

/** Calls `handle` with the name of each signal that asks this process to end. */
const onSignal = (handle) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => handle(signal))
}

/** Starts both servers, runs a command that finds them in its environment, stops them; returns its exit code. */
export const runWithServers = async (command, args, { fsync = true } = {}) => {
  const group = new Group()
  let child
  let stopping
  const stop = (signal) => {
    // Asked twice, the command is not asked again.
    child?.kill(stopping ? "SIGKILL" : signal)
    stopping ??= signal
    if (!child) group.stop()
  }
  onSignal(stop)
  // A CI job may be killed without a word to what it started; elsewhere one may have detached this on purpose.
  const parent = process.ppid
  const orphaned = process.env.CI && setInterval(() => process.ppid !== parent && stop("SIGTERM"), 5000)
  try {
    const servers = await up({ fsync, group })
    if (stopping) return 128 + constants.signals[stopping]
    const [program, programArgs] = dieWithParent(command, args, "SIGTERM")
    child = spawn(program, programArgs, { stdio: "inherit", env: { ...process.env, ...servers.env } })
    return await new Promise((resolve, reject) => {
      child.once("error", reject)
      child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal]))
    })
  } catch (error) {
    if (stopping) return 128 + constants.signals[stopping]
    throw error
  } finally {
    clearInterval(orphaned)
    await group.stop()
  }
}

/** Starts both servers, prints where they are, and stops them when asked to. */
const serve = async ({ fsync, lifeline }) => {
  const group = new Group()
  const asked = new Promise((resolve) => {
    onSignal(resolve)
    if (lifeline) process.stdin.resume().once("end", resolve).once("close", resolve).once("error", resolve)
  }).then(() => group.stop())
  try {
    const { databaseUrl, s3 } = await up({ fsync, group })
    process.stdout.write(`${JSON.stringify({ databaseUrl, s3 })}\n`)
    // A promise alone does not keep Node running.
    const alive = setInterval(() => {}, 60_000)
    await asked
    clearInterval(alive)
  } catch (error) {
    if (!group.stopped || error instanceof Missing) throw error
  }
  process.stdin.pause()
}

const main = async ([verb, ...rest]) => {
  const end = rest.includes("--") ? rest.indexOf("--") : rest.length
  const options = rest.slice(0, end)
  const command = rest.slice(end + 1)
  const unknown = options.find((option) => !["--no-fsync", "--stdin-lifeline"].includes(option))
  const fsync = !options.includes("--no-fsync")
  if (unknown === undefined && verb === "install") {
    await install()
    process.stdout.write(`PostgreSQL 15 and ${s3Server().name} are ready to start.\n`)
    return 0
  }
  if (unknown === undefined && verb === "up") {
    await serve({ fsync, lifeline: options.includes("--stdin-lifeline") })
    return 0
  }
  if (unknown === undefined && verb === "run" && command.length > 0) {
    return await runWithServers(command[0], command.slice(1), { fsync })
  }
  process.stderr.write(
    "usage: node scripts/servers.mjs install | up | run [--no-fsync] [--stdin-lifeline] [-- command…]\n"
  )
  return 2
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).then(
    (code) => process.exit(code),
    (error) => {
      process.stderr.write(`${error instanceof Missing ? error.message : error.stack}\n`)
      process.exit(error instanceof Missing ? 3 : 1)
    }
  )
}
