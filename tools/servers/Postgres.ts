/** PostgreSQL 15 from Debian's packages: a fresh cluster for each start. */
import { randomBytes } from "node:crypto"
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { libraryEnv, packageFolder, unpack } from "./packages.mjs"
import { freePorts, Missing, retryStart, until } from "./processes.mjs"

const binaries = "usr/lib/postgresql/15/bin"

const unpacked = (cache) => packageFolder(cache, "postgresql-15")

/** Where initdb and postgres are, preferring what the system has installed. */
const locate = (cache) => {
  for (const [root, env] of [
    ["/", process.env],
    [unpacked(cache), libraryEnv(unpacked(cache))]
  ]) {
    if (existsSync(join(root, binaries, "postgres"))) return { bin: join(root, binaries), env }
  }
  return undefined
}

export const install = async (cache) => {
  if (!locate(cache)) await unpack(["postgresql-15"], unpacked(cache))
}

/** PostgreSQL refuses to run as root, so root lends it the account that owns nothing. */
const account = () => (process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {})

const settings = (folder, port, fsync) => [
  ...["-D", join(folder, "data"), "-p", String(port)],
  ...["-c", "listen_addresses=127.0.0.1", "-c", `unix_socket_directories=${folder}`],
  ...["-c", "max_connections=100", "-c", "shared_buffers=256MB", "-c", "max_wal_size=2GB"],
  ...(fsync ? [] : ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"])
]

/**
 * Starts a server and returns its URL and a way to stop it alone. The cluster's collation is ICU's
 * English, as installations in the field have, not byte order: a query that compares keys as the
 * object store orders them must say so, and fails here if it does not.
 */
export const start = async (group, cache, { fsync = true } = {}) => {
  const found = locate(cache)
  if (!found) {
    throw new Missing(
      "PostgreSQL 15 is not installed: run `node scripts/servers.mjs install`, or `apt-get install postgresql-15` as root."
    )
  }
  const folder = join(group.folder, "postgres")
  const user = account()
  mkdirSync(folder)
  const password = randomBytes(12).toString("hex")
  writeFileSync(join(folder, "password"), password, { mode: 0o600 })
  if (user.uid !== undefined) {
    for (const path of [folder, join(folder, "password")]) chownSync(path, user.uid, user.gid)
  }
  const options = { ...user, cwd: folder, env: { ...found.env, LC_ALL: "C.UTF-8" } }
  await group.run(
    join(found.bin, "initdb"),
    [
      ...["-D", join(folder, "data"), "-U", "postgres", "--pwfile", join(folder, "password")],
      ...["-A", "scram-sha-256", "-E", "UTF8", "--locale-provider=icu", "--icu-locale=en-US"],
      ...["--no-sync", "--no-instructions"]
    ],
    options
  )
  const { port, daemon } = await retryStart(group, (attempt) =>
    launch(group, found.bin, folder, fsync, options, attempt)
  )
  return { url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`, stop: daemon.stop }
}

const launch = async (group, bin, folder, fsync, options, attempt) => {
  const [port] = await freePorts(1)
  const logFile = join(group.folder, `postgres-${attempt}.log`)
  // SIGQUIT ends it without the checkpoint that only a next start would want.
  const daemon = group.daemon(join(bin, "postgres"), settings(folder, port, fsync), {
    ...options,
    stopSignal: "SIGQUIT",
    logFile
  })
  await until("PostgreSQL 15", daemon, 30_000, () =>
    readFileSync(logFile, "utf8").includes("ready to accept connections")
  )
  return { port, daemon }
}
