/** PostgreSQL 15 from Debian's packages: a fresh cluster for each start. */
import { randomBytes } from "node:crypto"
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../Program.ts"
import { libraryEnv, packageFolder, unpack } from "./Packages.ts"
import { type Daemon, freePort, type Group, type RunOptions, retryStart, until } from "./Processes.ts"

const binaries = "usr/lib/postgresql/15/bin"

const unpacked = (cache: string): string => packageFolder(cache, "postgresql-15")

interface Installation {
  /** The folder below which the files are. */
  readonly root: string
  readonly bin: string
  readonly env: NodeJS.ProcessEnv
}

/** Returns where initdb and postgres are. Prefers the system's own installation. */
export const locate = (cache: string): Installation | undefined => {
  const installations = [
    { root: "/", env: process.env },
    { root: unpacked(cache), env: libraryEnv(unpacked(cache)) }
  ]
  const found = installations.find(({ root }) => existsSync(join(root, binaries, "postgres")))
  return found && { ...found, bin: join(found.root, binaries) }
}

/** Fetches PostgreSQL into the cache folder. Does nothing if the system or the folder has it. */
export const install = async (cache: string): Promise<void> => {
  if (!locate(cache)) await unpack(["postgresql-15"], unpacked(cache))
}

/** PostgreSQL refuses to run as root. Root starts it as the account that owns no file. */
export const account = (): { uid?: number; gid?: number } =>
  process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}

const settings = (folder: string, port: number, fsync: boolean): ReadonlyArray<string> => [
  ...["-D", join(folder, "data"), "-p", String(port)],
  ...["-c", "listen_addresses=127.0.0.1", "-c", `unix_socket_directories=${folder}`],
  ...["-c", "max_connections=100", "-c", "shared_buffers=256MB", "-c", "max_wal_size=2GB"],
  ...(fsync ? [] : ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"])
]

export interface StartedPostgres {
  readonly url: string
  /** Ends it at once, as a crash does. */
  readonly stop: () => Promise<void>
  /** Starts it again after {@link stop}, on the same data and the same port. */
  readonly startAgain: () => Promise<void>
}

/**
 * Starts a server. Its collation is ICU's English, as on many installations in use, and not byte order: a
 * query that compares keys as the object store orders them must say so, and fails here if it does not.
 */
export const start = async (
  group: Group,
  cache: string,
  { fsync }: { readonly fsync: boolean }
): Promise<StartedPostgres> => {
  const found = locate(cache)
  if (!found) {
    throw new Missing(
      "PostgreSQL 15 is not installed: run `npm run servers -- install`, or `apt-get install postgresql-15` as " +
        "root."
    )
  }
  const folder = join(group.folder, "postgres")
  const user = account()
  mkdirSync(folder)
  const password = randomBytes(12).toString("hex")
  writeFileSync(join(folder, "password"), password, { mode: 0o600 })
  if (user.uid !== undefined && user.gid !== undefined) {
    for (const path of [folder, join(folder, "password")]) chownSync(path, user.uid, user.gid)
  }
  const options: RunOptions = { ...user, cwd: folder, env: { ...found.env, LC_ALL: "C.UTF-8" } }
  await group.run(
    join(found.bin, "initdb"),
    [
      ...["-D", join(folder, "data"), "-U", "postgres", "--pwfile", join(folder, "password")],
      ...["-A", "scram-sha-256", "-E", "UTF8", "--locale-provider=icu", "--icu-locale=en-US"],
      ...["--no-sync", "--no-instructions"]
    ],
    options
  )
  const launch = async (
    attempt: string | number,
    wanted?: number
  ): Promise<{ port: number; daemon: Daemon }> => {
    const port = wanted ?? (await freePort())
    const logFile = join(group.folder, `postgres-${attempt}.log`)
    // SIGQUIT ends it without the checkpoint that only a next start would want.
    const daemon = group.daemon(join(found.bin, "postgres"), settings(folder, port, fsync), {
      ...options,
      stopSignal: "SIGQUIT",
      logFile
    })
    await until("PostgreSQL 15", daemon, 30_000, () =>
      readFileSync(logFile, "utf8").includes("ready to accept connections")
    )
    return { port, daemon }
  }
  const { port, daemon } = await retryStart(group, launch)
  let running = daemon
  let restarts = 0
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    stop: () => running.stop(),
    startAgain: async () => {
      restarts += 1
      running = (await launch(`again-${restarts}`, port)).daemon
    }
  }
}
