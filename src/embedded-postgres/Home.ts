/**
 * The directory given to `Embedded.start`: its contents, its owner, and the process that uses it.
 *
 * Layout: `data` (the cluster), `socket` (unless its path is too long), `owner.pid` (the parent process of
 * the server) and, during the first start, `data.initdb-…`. Invariants: `data` is complete or absent, because
 * it is renamed into place, and it is never deleted. Files of unknown origin are not changed.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { Effect } from "effect"
import { makeDirectory } from "../platform/directories.ts"
import { asListed, type Binaries, type RunAs, run, type User } from "./Binaries.ts"
import { EmbeddedPostgresError, type EmbeddedPostgresFailure } from "./EmbeddedError.ts"
import { socketName } from "./ServerSocket.ts"

/** Paths within the directory. */
export interface Home {
  /** The directory itself: absolute, without symbolic links, the same for every process. */
  readonly path: string
  /** Directory of the cluster. */
  readonly data: string
}

/**
 * Maximum path of a socket. sun_path holds 108 bytes on Linux and 104 on macOS, including the terminating
 * zero.
 */
const socketPathMax = process.platform === "linux" ? 107 : 103
/** Larger than any pid of the kernel (at most 2^22 on Linux), so no process ever has it. */
const noPid = 2 ** 31 - 1

/**
 * Directories that this process is filling. In a restarted container, its pid is often that of the dead
 * process.
 */
const initialising = new Set<string>()

/**
 * Creates the directory if it is absent. Fails with `permission`, `foreign-data`, or `start-failed` for other
 * I/O errors.
 */
export const open = Effect.fn("Home.open")(function* (directory: string) {
  const path = yield* attempt(directory, "create or resolve it", async () => {
    await makeDirectory(directory)
    return fs.realpath(directory)
  })
  if (yield* attempt(path, "read it", () => exists(join(path, "PG_VERSION")))) {
    return yield* failure(
      path,
      "foreign-data",
      "It is a PostgreSQL data directory, not a directory of artifact-gc"
    )
  }
  return { path, data: join(path, "data") } satisfies Home
})

/**
 * Returns the owner of the cluster, or undefined without one. Changes nothing.
 *
 * Fails with `foreign-data` if `data` holds something else, and with `permission` if it belongs to another
 * user.
 */
export const inspect = Effect.fn("Home.inspect")(function* (home: Home) {
  const entry = yield* attempt(home.path, "inspect data", () => ifPresent(fs.stat(home.data)))
  if (entry === undefined) return undefined
  const self = process.getuid?.()
  if (self !== 0 && self !== entry.uid) {
    return yield* failure(
      home.path,
      "permission",
      `data belongs to uid ${entry.uid}, and this process runs as uid ${self}`
    )
  }
  const names = yield* attempt(home.path, "list data", () => fs.readdir(home.data))
  if (names.length === 0) return undefined
  if (!names.includes("PG_VERSION")) {
    return yield* failure(home.path, "foreign-data", "data holds files, but no PostgreSQL cluster")
  }
  // Files of root come from a restored backup, because PostgreSQL never runs as root. `prepare` changes their owner.
  return entry.uid === 0 ? undefined : ({ uid: entry.uid, gid: entry.gid } satisfies User)
})

/**
 * Creates the cluster if it is absent, or gives an existing one the owner and mode that PostgreSQL requires.
 * On success the cluster is complete and has the given major version. Safe to repeat and to run concurrently.
 *
 * Fails with `version-mismatch` (before it changes anything), `initdb-failed` or `permission`.
 */
export const prepare = Effect.fn("Home.prepare")(function* (
  home: Home,
  options: {
    readonly binaries: Binaries
    readonly major: string
    readonly runAs: RunAs
    readonly durable: boolean
  }
) {
  const version = yield* attempt(home.path, "read data/PG_VERSION", () =>
    ifPresent(fs.readFile(join(home.data, "PG_VERSION"), "utf8"))
  )
  if (version === undefined) return yield* create(home, options)
  if (version.trim() !== options.major) {
    const detail = `data was written by PostgreSQL ${version.trim()}, and the embedded one is ${options.major}`
    return yield* failure(home.path, "version-mismatch", detail)
  }
  yield* attempt(home.path, "change the owner of data to PostgreSQL's user", async () => {
    const { uid, mode } = await fs.stat(home.data)
    if (uid === 0) await giveAway(home.data, options.runAs.user)
    if ((mode & 0o777) !== 0o700 && (mode & 0o777) !== 0o750) await fs.chmod(home.data, 0o700)
  })
})

const create = Effect.fnUntraced(function* (
  home: Home,
  options: { readonly binaries: Binaries; readonly runAs: RunAs; readonly durable: boolean }
) {
  const unfinished = yield* Effect.acquireRelease(
    attempt(home.path, "create a directory in it", async () => {
      await removeLeftovers(home)
      const directory = await fs.mkdtemp(`${home.data}.initdb-${process.pid}-`)
      initialising.add(basename(directory))
      return directory
    }),
    (directory) =>
      Effect.promise(() => fs.rm(directory, { recursive: true, force: true }).catch(() => undefined)).pipe(
        Effect.andThen(Effect.sync(() => initialising.delete(basename(directory))))
      )
  )
  const initdbAs = asListed(options.runAs)
  yield* attempt(home.path, "change the owner of a directory", () => giveAway(unfinished, initdbAs.user))
  const { code, output } = yield* run(initdbAs, options.binaries.initdb, [
    ...["-D", unfinished, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"],
    "--no-instructions",
    ...(options.durable ? [] : ["--no-sync"])
  ])
  if (code !== 0) {
    return yield* new EmbeddedPostgresError({
      reason: "initdb-failed",
      dataDirectory: home.path,
      detail: /could not look up effective user ID/.test(output)
        ? "initdb needs an entry for this process's user in /etc/passwd"
        : `initdb ended with status ${code}`,
      log: output.trim().split("\n").slice(-50)
    })
  }
  yield* attempt(home.path, "move the new cluster into place", async () => {
    await giveAway(unfinished, options.runAs.user)
    await fs.rename(unfinished, home.data).catch((cause: NodeJS.ErrnoException) => {
      // Another process was first, and its cluster is equally good.
      if (cause.code !== "ENOTEMPTY" && cause.code !== "EEXIST") throw cause
    })
    if (options.durable) await syncDirectory(home.path)
  })
}, Effect.scoped)

/** Removes the remains of an initdb whose process has ended. */
const removeLeftovers = async (home: Home) => {
  for (const name of await fs.readdir(home.path)) {
    const pid = Number(/^data\.initdb-(\d+)-/.exec(name)?.[1])
    if (Number.isNaN(pid) || initialising.has(name) || (pid !== process.pid && isAlive(pid))) continue
    await fs.rm(join(home.path, name), { recursive: true, force: true })
  }
}

/**
 * Changes the owner, of the top directory last: if this process dies before, the top shows that work is left.
 */
const giveAway = async (directory: string, to: User | undefined) => {
  if (to === undefined) return
  for (const name of await fs.readdir(directory, { recursive: true })) {
    await fs.lchown(join(directory, name), to.uid, to.gid)
  }
  await fs.chown(directory, to.uid, to.gid)
}

const syncDirectory = async (directory: string) => {
  const handle = await fs.open(directory, "r")
  await handle.sync().finally(() => handle.close())
}

/**
 * Creates the directory of the socket, private to PostgreSQL's user. It is `socket` in the home. If that path
 * is too long for a socket, it is a temporary directory whose name depends on the home's path only.
 *
 * Fails with `socket-path-too-long`, or with `permission` if another user has created the temporary directory
 * before.
 */
export const socketDirectory = Effect.fn("Home.socketDirectory")(function* (home: Home, runAs: RunAs) {
  const short = `artifact-gc-${createHash("sha256").update(home.path).digest("hex").slice(0, 16)}`
  const inside = join(home.path, "socket")
  const choices = [inside, join(tmpdir(), short), join("/tmp", short)]
  const directory = choices.find((choice) => Buffer.byteLength(join(choice, socketName)) <= socketPathMax)
  if (directory === undefined) {
    const detail = `No directory gives a Unix socket path of at most ${socketPathMax} bytes`
    return yield* failure(home.path, "socket-path-too-long", detail)
  }
  yield* attempt(home.path, `create ${directory}`, async () => {
    await fs.mkdir(directory, { mode: 0o700 }).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "EEXIST") throw cause
    })
    // lstat, because in a world-writable directory another user may have planted a symbolic link of this name.
    const entry = await fs.lstat(directory)
    const ours = [process.getuid?.(), runAs.user?.uid].includes(entry.uid)
    if (!entry.isDirectory() || !(ours || directory === inside)) {
      throw Object.assign(new Error("it belongs to another user"), { code: "EPERM" })
    }
    await fs.chmod(directory, 0o700)
    if (runAs.user) await fs.chown(directory, runAs.user.uid, runAs.user.gid)
  })
  return directory
})

/**
 * Records that the server is a child of this process. Only waits and error messages of other processes depend
 * on it.
 */
export const claim = (home: Home): Effect.Effect<void> =>
  Effect.promise(() => fs.writeFile(join(home.path, "owner.pid"), `${process.pid}\n`).catch(() => undefined))

/** Returns the process that holds the directory, and whether it is ending by itself. */
export const holder = (
  home: Home
): Effect.Effect<{ readonly pid: number | undefined; readonly leaving: boolean }> =>
  Effect.promise(async () => {
    const owner = await firstNumber(join(home.path, "owner.pid"))
    if (owner !== undefined && isAlive(owner)) return { pid: owner, leaving: false }
    // The server's owner died, so the watchdog is stopping the server.
    return { pid: await firstNumber(join(home.data, "postmaster.pid")), leaving: true }
  })

/**
 * Corrects a lock file whose pid is reused, and returns whether it did. PostgreSQL refuses to start while the
 * pid in a lock file belongs to any process of its user. In a restarted container, where pids repeat, it may
 * be one of Node's threads.
 *
 * Only the pid is replaced. The rest of postmaster.pid lets PostgreSQL find processes that are attached to
 * the shared memory, so even a mistake here cannot start two servers on one cluster.
 */
export const forgetReusedPids = (home: Home, socketDirectory: string): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    // Other systems have no /proc to identify the process, and no containers in which pids repeat.
    if (process.platform !== "linux") return false
    let corrected = false
    for (const file of [join(home.data, "postmaster.pid"), join(socketDirectory, `${socketName}.lock`)]) {
      const pid = await firstNumber(file)
      if (pid === undefined || pid === noPid) continue
      const status = await fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")
      // A zombie counts as dead: in a container whose first process reaps no children it stays for ever.
      if (status === "" || /^\d+ \(postgres.*\) [^ZX]/.test(status)) continue
      const content = await fs.readFile(file, "utf8")
      await fs.writeFile(file, content.replace(/^\d+/, String(noPid)))
      corrected = true
    }
    return corrected
  }).pipe(Effect.catchDefect(() => Effect.succeed(false)))

const firstNumber = async (file: string): Promise<number | undefined> => {
  const text = await fs.readFile(file, "utf8").catch(() => "")
  const digits = /^\d+/.exec(text)?.[0]
  return digits === undefined ? undefined : Number(digits)
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "EPERM"
  }
}

const ifPresent = <A>(promise: Promise<A>): Promise<A | undefined> =>
  promise.catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined
    throw cause
  })

const exists = async (path: string) => (await ifPresent(fs.lstat(path))) !== undefined

const failure = (dataDirectory: string, reason: EmbeddedPostgresFailure, detail: string) =>
  new EmbeddedPostgresError({ reason, dataDirectory, detail })

const refused = new Set(["EACCES", "EPERM", "EROFS"])

const attempt = <A>(dataDirectory: string, what: string, action: () => Promise<A>) =>
  Effect.tryPromise({
    try: action,
    catch: (cause) => {
      const code = (cause as NodeJS.ErrnoException).code
      const reason = code !== undefined && refused.has(code) ? "permission" : "start-failed"
      return new EmbeddedPostgresError({
        reason,
        dataDirectory,
        detail: `Could not ${what}: ${cause instanceof Error ? cause.message : cause}`,
        cause
      })
    }
  })
