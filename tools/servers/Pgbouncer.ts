/**
 * PgBouncer from Debian's packages, in transaction mode before the real PostgreSQL. Its other settings are
 * those of a fresh installation, which refuses startup parameters that it does not know.
 */
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../Program.ts"
import { libraryEnv, packageFolder, unpack } from "./Packages.ts"
import { account } from "./Postgres.ts"
import { type Daemon, freePort, type Group, retryStart, until } from "./Processes.ts"

const unpacked = (cache: string): string => packageFolder(cache, "pgbouncer")

interface Installation {
  readonly program: string
  readonly env: NodeJS.ProcessEnv
}

/** Returns where the program is. Prefers the system's own installation. */
const locate = (cache: string): Installation | undefined => {
  const installations = [
    { root: "/", env: process.env },
    { root: unpacked(cache), env: libraryEnv(unpacked(cache)) }
  ]
  const found = installations.find(({ root }) => existsSync(join(root, "usr/sbin/pgbouncer")))
  return found && { program: join(found.root, "usr/sbin/pgbouncer"), env: found.env }
}

/** Fetches PgBouncer into the cache folder. Does nothing if the system or the folder has it. */
export const install = async (cache: string): Promise<void> => {
  if (!locate(cache)) await unpack(["pgbouncer"], unpacked(cache))
}

/** Fewer than the connections of two collectors, so that these share them. */
const poolSize = 4

const configuration = (server: URL, port: number): string => `[databases]
* = host=${server.hostname} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = plain
auth_file = users
pool_mode = transaction
default_pool_size = ${poolSize}
`

/** Starts PgBouncer before the server of this URL, and returns the URL at which it accepts connections. */
export const start = async (group: Group, cache: string, databaseUrl: string): Promise<{ url: string }> => {
  const found = locate(cache)
  if (!found) {
    throw new Missing(
      "PgBouncer is not installed: run `npm run servers -- install`, or `apt-get install pgbouncer` as root."
    )
  }
  const server = new URL(databaseUrl)
  const folder = join(group.folder, "pgbouncer")
  const user = account()
  mkdirSync(folder)
  const launch = async (attempt: number): Promise<{ port: number; daemon: Daemon }> => {
    const port = await freePort()
    const files = { users: `"${server.username}" "${server.password}"\n`, ini: configuration(server, port) }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 })
    for (const path of [folder, ...Object.keys(files).map((name) => join(folder, name))]) {
      if (user.uid !== undefined && user.gid !== undefined) chownSync(path, user.uid, user.gid)
    }
    const logFile = join(group.folder, `pgbouncer-${attempt}.log`)
    const daemon = group.daemon(found.program, ["ini"], { ...user, cwd: folder, env: found.env, logFile })
    await until("PgBouncer", daemon, 10_000, () => readFileSync(logFile, "utf8").includes("process up"))
    return { port, daemon }
  }
  const { port } = await retryStart(group, launch)
  const url = new URL(databaseUrl)
  url.host = `127.0.0.1:${port}`
  return { url: url.href }
}
