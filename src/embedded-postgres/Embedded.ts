/**
 * PostgreSQL as a child process: the default database if DATABASE_URL is not set.
 *
 * It starts and stops the server. Invariants: the server never outlives this process, however the process
 * ends, and one server at a time serves a directory. It does not restart a server that died (`exited` reports
 * it), does not upgrade data between major versions, and writes no log file. The server's output is logged at
 * Debug level.
 *
 * Processes run in real time, so waits use timers and not the Clock service, which may be a TestClock.
 */
import type { ChildProcess } from "node:child_process"
import { resolve } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { Deferred, Effect, Result, type Scope } from "effect"
import { type Binaries, locate, probe, type RunAs, spawnAs } from "./Binaries.ts"
import { EmbeddedPostgresError, type EmbeddedPostgresFailure } from "./EmbeddedError.ts"
import * as Home from "./Home.ts"
import * as ServerSocket from "./ServerSocket.ts"

export { EmbeddedPostgresError, EmbeddedPostgresFailure } from "./EmbeddedError.ts"

/** The options of `start`. */
export interface EmbeddedOptions {
  /**
   * Directory of all files; created if absent. Relative paths start at the working directory. If hosts share
   * the volume, only one of them may use the directory: PostgreSQL cannot see servers of another host.
   */
  readonly dataDirectory: string
  /**
   * Whether committed transactions survive every crash. Default true, because the catalogue decides what is
   * deleted. False spares the disk, for tests and demonstrations only. A crash of PostgreSQL may then lose
   * the transactions of the last second, and a power cut may make the data unreadable.
   */
  readonly durable?: boolean
}

/**
 * A running server. Connect with `host: socketDirectory`, `port`, `username: user` and `database`, without a
 * password.
 */
export interface EmbeddedPostgres {
  /**
   * Directory of the Unix socket. Only root and PostgreSQL's user can enter it. The server does not use TCP.
   */
  readonly socketDirectory: string
  /** Port, which is part of the socket's name. */
  readonly port: number
  /** Name of the superuser. */
  readonly user: string
  /** Name of the database. */
  readonly database: string
  /** The given directory, absolute and without symbolic links. */
  readonly dataDirectory: string
  /**
   * Fails with `stopped` when the server ends although its scope is open, and never succeeds. Race the
   * service with it, so that the supervisor restarts the process.
   */
  readonly exited: Effect.Effect<never, EmbeddedPostgresError>
}

/** Seconds without output after which a start has failed. A recovery reports every 10 s (see `settings`). */
const silenceSecondsMax = 60
/** Maximum wait for the server of a process that died. Its watchdog needs up to 16 s (see `watch`). */
const patienceMs = 20_000
const patienceStepMs = 200
/**
 * Maximum wait for a stop: longer than the watchdog needs, shorter than the 30 s after which Kubernetes
 * kills.
 */
const stopMsMax = 20_000
const logLinesMax = 50

/**
 * Starts PostgreSQL on a directory and stops it with the scope.
 *
 * On success the server accepts connections, after recovery from a crash if necessary. It serves an empty
 * cluster, or the one that the first start created. As root it runs as the owner of the data, at first uid
 * 65432. It waits for a server whose owner died. When the scope closes, it disconnects clients and flushes
 * the data (`pg_ctl stop -m fast`), which takes milliseconds to a few seconds, at most 20 s.
 *
 * Every failure is an `EmbeddedPostgresError` with a `reason`, and a message that says what to do next. A new
 * start is safe after each of them. Interruption stops a half-started server.
 */
export const start: (
  options: EmbeddedOptions
) => Effect.Effect<EmbeddedPostgres, EmbeddedPostgresError, Scope.Scope> = Effect.fn("Embedded.start")(
  function* (options) {
    return (yield* open(options, false)).server
  }
)

/** A server that this process may share with the one that started it. */
export interface SharedPostgres {
  /** How to connect. `exited` never completes if another process started the server. */
  readonly server: EmbeddedPostgres
  /** The process that started it; null if that is this process. */
  readonly owner: number | null
}

/**
 * Joins the server that a live process keeps on the directory, or starts one as `start` does. For work that ends soon:
 * the server ends with its owner, and statements fail from then on. Waits for an owner that is ending, and starts a
 * server after it.
 */
export const startOrJoin: (
  options: EmbeddedOptions
) => Effect.Effect<SharedPostgres, EmbeddedPostgresError, Scope.Scope> = Effect.fn("Embedded.startOrJoin")(
  (options) => open(options, true)
)

const open = Effect.fnUntraced(function* (options: EmbeddedOptions, joins: boolean) {
  const durable = options.durable ?? true
  const home = yield* Home.open(resolve(options.dataDirectory))
  const owner = yield* Home.inspect(home)
  const binaries = yield* locate(home.path)
  const { runAs, major } = yield* probe(home.path, binaries, owner)
  yield* Home.prepare(home, { binaries, major, runAs, durable })
  const socketDirectory = yield* Home.socketDirectory(home, runAs)
  const found = yield* startPatiently({ home, binaries, runAs, socketDirectory, durable, joins })
  if (found._tag === "Started") yield* Home.claim(home)
  const server: EmbeddedPostgres = {
    socketDirectory,
    port: ServerSocket.port,
    user: ServerSocket.superuser,
    database: ServerSocket.superuser,
    dataDirectory: home.path,
    exited: found._tag === "Started" ? Deferred.await(found.server.exited) : Effect.never
  }
  return { server, owner: found._tag === "Started" ? null : found.pid } satisfies SharedPostgres
})

interface Command {
  readonly home: Home.Home
  readonly binaries: Binaries
  readonly runAs: RunAs
  readonly socketDirectory: string
  readonly durable: boolean
  /** Whether the server of another process suffices. */
  readonly joins: boolean
}

type Found =
  | { readonly _tag: "Started"; readonly server: Server }
  | { readonly _tag: "Joined"; readonly pid: number }

/**
 * Waits for the old server: a supervisor restarts this process before the watchdog has stopped it. If another process
 * uses the directory, joins its server or fails.
 */
const startPatiently = Effect.fnUntraced(function* (
  command: Command
): Effect.fn.Return<Found, EmbeddedPostgresError, Scope.Scope> {
  for (let waitedMs = 0; ; waitedMs += patienceStepMs) {
    const attempt = yield* Effect.result(startOnce(command))
    if (Result.isSuccess(attempt)) return { _tag: "Started", server: attempt.success }
    if (attempt.failure.reason !== "in-use") return yield* attempt.failure
    const { pid, leaving } = yield* Home.holder(command.home)
    const isJoined =
      command.joins && !leaving && pid !== undefined && (yield* ServerSocket.admits(command.socketDirectory))
    if (isJoined) return { _tag: "Joined", pid }
    const corrected = yield* Home.forgetReusedPids(command.home, command.socketDirectory)
    // Checked twice: a process that was killed a moment ago still looks alive.
    // A server that may be joined and admits no session is starting or ending.
    const stays = waitedMs > 0 && !(leaving || corrected || command.joins)
    if (waitedMs >= patienceMs || stays) {
      return yield* new EmbeddedPostgresError({
        reason: "in-use",
        dataDirectory: command.home.path,
        detail: `Process ${pid ?? "(unknown)"} holds it`,
        pid,
        log: attempt.failure.log
      })
    }
    yield* Effect.promise(() => sleep(patienceStepMs))
  }
})

const startOnce = Effect.fnUntraced(function* (command: Command) {
  if (yield* ServerSocket.answers(command.socketDirectory)) {
    return yield* new EmbeddedPostgresError({
      reason: "in-use",
      dataDirectory: command.home.path,
      detail: "A server answers on its socket"
    })
  }
  const server = yield* Effect.acquireRelease(launch(command), stop)
  // Stops at once, because the caller may keep the scope open and try again.
  yield* Deferred.await(server.ready).pipe(Effect.onError(() => stop(server)))
  return server
})

interface Server {
  readonly postmaster: ChildProcess
  readonly watchdog: ChildProcess
  readonly ready: Deferred.Deferred<void, EmbeddedPostgresError>
  readonly exited: Deferred.Deferred<never, EmbeddedPostgresError>
  /** Resolves when the server has ended. */
  readonly gone: Promise<void>
  /** Whether this process asked the server to stop. */
  stopping: boolean
}

/** Becomes PostgreSQL when it reads a line, so that PostgreSQL never runs without its watchdog. */
const gate = 'read -r _ && exec "$@" </dev/null'

/**
 * Waits until the pipe to this process closes, which the kernel does when the process dies, and stops the
 * server: a fast shutdown, after 8 s an immediate one, and after 8 s more SIGKILL. The latter two leave
 * recovery to the next start. It is plain sh, which works on macOS too.
 */
const watch = `read -r _; kill -INT "$1" || exit 0
for signal in QUIT KILL; do
  i=0; while [ $i -lt 8 ]; do sleep 1; kill -0 "$1" || exit 0; i=$((i+1)); done
  kill -$signal "$1"
done`

/** Spawns gate and watchdog, and opens the gate. `ready` and `exited` report what happens to the server. */
const launch = (command: Command) =>
  Effect.gen(function* () {
    const log = Effect.runForkWith(yield* Effect.context<never>())
    const ready = yield* Deferred.make<void, EmbeddedPostgresError>()
    const exited = yield* Deferred.make<never, EmbeddedPostgresError>()
    const { postmaster, watchdog } = yield* Effect.try({
      try: () => spawnPair(command),
      catch: (cause) => failed(command, "start-failed", `The server could not be spawned: ${cause}`, [])
    })
    const lines: Array<string> = []
    const silent = setTimeout(() => {
      const detail = `The server logged nothing for ${silenceSecondsMax} s and was not ready`
      Deferred.doneUnsafe(ready, Effect.fail(failed(command, "start-failed", detail, lines)))
    }, silenceSecondsMax * 1000)
    if (postmaster.stderr !== null) {
      createInterface({ input: postmaster.stderr }).on("line", (line) => {
        silent.refresh()
        lines.push(line)
        if (lines.length > logLinesMax) lines.shift()
        log(Effect.logDebug(line).pipe(Effect.annotateLogs({ source: "postgres" })))
        if (!line.includes("database system is ready to accept connections")) return
        clearTimeout(silent)
        Deferred.doneUnsafe(ready, Effect.void)
      })
    }
    const gone = ending(postmaster).then((how) => {
      clearTimeout(silent)
      // The watched pid may soon belong to another process.
      watchdog.kill("SIGKILL")
      const reason = isHeld(lines) ? "in-use" : "start-failed"
      const early = failed(command, reason, `The server ${how} before it was ready`, lines)
      if (Deferred.doneUnsafe(ready, Effect.fail(early)) || server.stopping) return
      const error = failed(command, "stopped", `The server ${how}`, lines)
      log(Effect.logError(error.message))
      Deferred.doneUnsafe(exited, Effect.fail(error))
    })
    const server: Server = { postmaster, watchdog, ready, exited, gone, stopping: false }
    return server
  })

const spawnPair = ({ home, binaries, runAs, socketDirectory, durable }: Command) => {
  const args = settings(socketDirectory, durable).flatMap((setting) => ["-c", setting])
  const command = ["-c", gate, "sh", binaries.postgres, "-D", home.data, ...args]
  const postmaster = spawnAs(runAs, "/bin/sh", command, ["pipe", "ignore", "pipe"])
  const watchdog = spawnAs(
    runAs,
    "/bin/sh",
    ["-c", watch, "sh", String(postmaster.pid)],
    ["pipe", "ignore", "ignore"]
  )
  // An error event without a listener would end this process. `ending` and the lines below learn of the failure.
  for (const emitter of [postmaster, watchdog, postmaster.stdin, watchdog.stdin])
    emitter?.on("error", () => undefined)
  // Without a watchdog, the gate reads the end of its input and exits.
  postmaster.stdin?.end(watchdog.pid === undefined ? undefined : "go\n")
  return { postmaster, watchdog }
}

/** Settings for the command line, which neither postgresql.conf nor ALTER SYSTEM can override. */
const settings = (socketDirectory: string, durable: boolean): ReadonlyArray<string> => [
  "listen_addresses=",
  // The value is a list, so a comma or a quote in the path must be quoted.
  `unix_socket_directories="${socketDirectory.replaceAll('"', '""')}"`,
  "unix_socket_permissions=0700",
  `port=${ServerSocket.port}`,
  "cluster_name=artifact-gc",
  "shared_buffers=128MB",
  "max_connections=50",
  "timezone=UTC",
  "log_timezone=UTC",
  // This module reads the log, so its format must be fixed.
  "lc_messages=C",
  "logging_collector=off",
  "log_destination=stderr",
  "log_min_messages=warning",
  "log_startup_progress_interval=10s",
  "log_checkpoints=off",
  ...["fsync", "synchronous_commit", "full_page_writes"].map((name) => `${name}=${durable ? "on" : "off"}`)
]

/** PostgreSQL's message for a cluster in use: by a live pid, or by processes on the old shared memory. */
const isHeld = (lines: ReadonlyArray<string>) =>
  lines.some((line) => /FATAL: .*(lock file ".*" already exists|pre-existing shared memory block)/.test(line))

/** Resolves with how the process ended, after its last output was read. */
const ending = (postmaster: ChildProcess) =>
  new Promise<string>((resolve) => {
    postmaster.once("error", (cause) => {
      if (postmaster.pid === undefined) resolve(`could not be spawned: ${cause}`)
    })
    postmaster.once("exit", (code, signal) => {
      const how = signal === null ? `exited with status ${code}` : `was ended by ${signal}`
      // Backends of a killed server may hold its standard error open a little longer.
      const waited = setTimeout(() => postmaster.stderr?.destroy(), 500)
      postmaster.once("close", () => {
        clearTimeout(waited)
        resolve(how)
      })
    })
  })

const stop = (server: Server) =>
  Effect.promise(async () => {
    server.stopping = true
    server.postmaster.kill("SIGINT")
    // The watchdog escalates, as if this process had died.
    server.watchdog.stdin?.end()
    const kill = setTimeout(() => server.postmaster.kill("SIGKILL"), stopMsMax)
    // If this process may not kill the server, the watchdog has tried too, and a longer wait would not help.
    await Promise.race([server.gone, sleep(stopMsMax + 2_000, undefined, { ref: false })])
    clearTimeout(kill)
  })

const failed = (
  command: Command,
  reason: EmbeddedPostgresFailure,
  detail: string,
  log: ReadonlyArray<string>
) => new EmbeddedPostgresError({ reason, dataDirectory: command.home.path, detail, log: [...log] })
