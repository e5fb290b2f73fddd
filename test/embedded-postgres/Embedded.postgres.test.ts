import { spawn } from "node:child_process"
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { SqlClient } from "effect/sql"
import { afterAll, beforeAll } from "vitest"
import {
  type EmbeddedPostgresError,
  type SharedPostgres,
  start,
  startOrJoin
} from "../../src/embedded-postgres/Embedded.ts"
import * as ServerSocket from "../../src/embedded-postgres/ServerSocket.ts"
import { compile, isRoot, isRunning, nobody, nobodyCanRun, spawnOwner } from "../fixtures/EmbeddedOwner.ts"
import { until } from "../fixtures/Until.ts"

const compiled = () => join(scratch, "compiled")
let scratch = ""
/** A complete cluster, created after an interrupted initdb. Most tests copy it, because initdb takes a second. */
let template = ""

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "embedded-postgres-test-"))
  chmodSync(scratch, 0o755)
  compile(compiled())
  template = join(scratch, "template")
  const leftover = join(template, "data.initdb-4194305-aBcDeF")
  mkdirSync(leftover, { recursive: true })
  writeFileSync(join(leftover, "PG_VERSION"), "18\n")
  await Effect.runPromise(Effect.scoped(start({ dataDirectory: template, durable: false })))
}, 30_000)

afterAll(() => rmSync(scratch, { recursive: true, force: true, maxRetries: 5 }))

/** A home with a stopped cluster. The copy belongs to root, as a restored backup would. */
const home = (name: string) => {
  const directory = join(scratch, name)
  cpSync(join(template, "data"), join(directory, "data"), { recursive: true })
  return directory
}

const serve = (dataDirectory: string) => start({ dataDirectory, durable: false })

/** Runs `use` on a server of its own; the server is stopped afterwards. */
const withServer = <A, E>(dataDirectory: string, use: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* serve(dataDirectory)
      const { socketDirectory: host, port, user: username, database } = server
      return yield* use.pipe(
        Effect.provide(PgClient.layer({ host, port, username, database, maxConnections: 2 }))
      )
    })
  )

const insert = (id: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`create table if not exists kept(id int primary key)`
    // The tests run with synchronous_commit off, but these rows must be committed durably.
    yield* sql.withTransaction(
      sql`set local synchronous_commit = on`.pipe(Effect.andThen(sql`insert into kept values (${id})`))
    )
  })

const ids = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(sql<{ id: number }>`select id from kept order by id`, (rows) => rows.map((row) => row.id))
)

const refusal = (dataDirectory: string): Effect.Effect<EmbeddedPostgresError> =>
  Effect.scoped(Effect.flip(serve(dataDirectory))).pipe(Effect.orDie)

const postmasterOf = (directory: string) =>
  Number(readFileSync(join(directory, "data/postmaster.pid"), "utf8").split("\n")[0])

// Time-outs are generous because every test starts processes, and the machine may be busy.
describe("embedded PostgreSQL", { timeout: 30_000 }, () => {
  it.live("answers on a private Unix socket, without TCP, in UTC", () =>
    withServer(
      home("answers"),
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const [row] = yield* sql<
          Record<string, string>
        >`select version(), current_setting('listen_addresses') as tcp,
          current_setting('TimeZone') as zone, current_setting('server_encoding') as encoding,
          current_setting('fsync') as fsync, current_setting('data_directory') as data`
        assert.match(row?.version ?? "", /^PostgreSQL 18\./)
        assert.deepInclude(row, { tcp: "", zone: "UTC", encoding: "UTF8", fsync: "off" })
        assert.strictEqual(row?.data, join(scratch, "answers/data"))
        assert.strictEqual(statSync(join(scratch, "answers/socket")).mode & 0o777, 0o700)
      })
    )
  )

  it.live("is durable by default", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const {
          socketDirectory: host,
          port,
          user: username,
          database
        } = yield* start({ dataDirectory: home("durable") })
        const settings = Effect.flatMap(
          SqlClient.SqlClient,
          (sql) => sql<{ setting: string }>`select setting from pg_settings
          where name in ('fsync', 'synchronous_commit', 'full_page_writes')`
        )
        const rows = yield* Effect.provide(settings, PgClient.layer({ host, port, username, database }))
        assert.deepStrictEqual(
          rows.map((row) => row.setting),
          ["on", "on", "on"]
        )
      })
    )
  )

  it.live("keeps data across a restart, and leaves nothing running", () =>
    Effect.gen(function* () {
      const directory = home("restart")
      const pid = yield* withServer(
        directory,
        Effect.map(insert(1), () => postmasterOf(directory))
      )
      assert.isFalse(isRunning(pid))
      assert.isFalse(existsSync(join(directory, "data/postmaster.pid")))
      assert.deepStrictEqual(yield* withServer(directory, ids), [1])
    })
  )

  it.live("refuses a directory that this or another process uses, and names the process", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const directory = home("in-use")
        yield* serve(directory)
        const error = yield* refusal(directory)
        assert.deepInclude(error, { reason: "in-use", pid: process.pid, dataDirectory: directory })
        assert.match(
          error.message,
          new RegExp(
            `Process ${process.pid} holds it\\. Nothing was changed\\. A second service cannot share it: stop`
          )
        )
        const { said } = yield* spawnOwner(compiled(), directory)
        assert.include(said, `Process ${process.pid} holds it`)
      })
    )
  )

  it.live("is joined by short work of another process, and started by it where none runs", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const directory = home("joined")
        const use = <A, E>({ server }: SharedPostgres, work: Effect.Effect<A, E, SqlClient.SqlClient>) =>
          Effect.provide(
            work,
            PgClient.layer({ ...server, host: server.socketDirectory, username: server.user })
          )
        const join_ = startOrJoin({ dataDirectory: directory, durable: false })
        const { child, said } = yield* spawnOwner(compiled(), directory)
        assert.strictEqual(said, "ready")
        const pid = postmasterOf(directory)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const joined = yield* join_
            assert.strictEqual(joined.owner, child.pid)
            yield* use(joined, insert(1))
          })
        )
        assert.isTrue(isRunning(pid), "the end of the guest leaves the server as it is")

        // As if it was just stopped: the guest waits for the end of the server, and starts one.
        child.kill("SIGKILL")
        const own = yield* join_
        assert.isNull(own.owner)
        assert.isFalse(isRunning(pid))
        assert.deepStrictEqual(yield* use(own, ids), [1])
      })
    )
  )

  it.live("is not joined while it admits no session", () =>
    Effect.gen(function* () {
      const directory = mkdtempSync(join(scratch, "socket-"))
      const answer = (bytes: string) =>
        Effect.acquireRelease(
          Effect.callback<Server>((resume) => {
            const server = createServer((socket) => socket.once("data", () => socket.end(bytes)))
            server.listen(join(directory, ".s.PGSQL.5432"), () => resume(Effect.succeed(server)))
          }),
          (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
        )
      const asked = (bytes: string) =>
        Effect.scoped(Effect.andThen(answer(bytes), ServerSocket.admits(directory)))
      assert.isFalse(yield* ServerSocket.admits(directory), "no server listens")
      assert.isFalse(yield* asked("E...57P03 the database system is shutting down"))
      assert.isFalse(yield* asked(""))
      assert.isTrue(yield* asked("R......"))
    })
  )

  it.live("reports that the server ended, and recovers every committed row after kill -9 of the server", () =>
    Effect.gen(function* () {
      const directory = home("killed-server")
      const error = yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* serve(directory)
          const { socketDirectory: host, port, user: username, database } = server
          yield* Effect.provide(insert(1), PgClient.layer({ host, port, username, database }))
          const exited = yield* Effect.forkChild(Effect.flip(server.exited))
          process.kill(postmasterOf(directory), "SIGKILL")
          return yield* Fiber.join(exited)
        })
      )
      assert.deepInclude(error, { reason: "stopped", detail: "The server was ended by SIGKILL" })
      assert.isTrue(existsSync(join(directory, "data/postmaster.pid")), "the crash left its lock file")
      assert.deepStrictEqual(yield* withServer(directory, ids), [1])
    })
  )

  it.live(
    "leaves no server behind after kill -9 of its owner, and an immediate start waits and succeeds",
    () =>
      Effect.scoped(
        Effect.gen(function* () {
          const directory = home("killed-owner")
          const { child, said } = yield* spawnOwner(compiled(), directory)
          assert.strictEqual(said, "ready")
          const pid = postmasterOf(directory)
          assert.isTrue(isRunning(pid))
          child.kill("SIGKILL")
          yield* until("the server is gone", () => !isRunning(pid))
          assert.isFalse(existsSync(join(directory, "data/postmaster.pid")), "it was shut down in order")

          const second = yield* spawnOwner(compiled(), directory)
          const again = postmasterOf(directory)
          second.child.kill("SIGKILL")
          yield* withServer(directory, insert(1))
          assert.isFalse(isRunning(again))
        })
      )
  )

  it.live.skipIf(process.platform !== "linux")(
    "starts although the pid of a crashed server now is another process's",
    () =>
      Effect.gen(function* () {
        const directory = home("reused-pid")
        // After a crash in a container, the file names a process that PostgreSQL takes for a server.
        const other = spawn("/bin/sleep", ["60"], {
          ...(isRoot ? { uid: 65432, gid: 65432 } : {}),
          stdio: "ignore"
        })
        writeFileSync(
          join(directory, "data/postmaster.pid"),
          `${other.pid}\n${directory}/data\n1790000000\n5432\n\n\n\n`
        )
        yield* withServer(directory, insert(1)).pipe(Effect.ensuring(Effect.sync(() => other.kill())))
      })
  )

  it("replaces the remains of an interrupted initdb", () => {
    assert.deepStrictEqual(readdirSync(template).sort(), ["data", "owner.pid", "socket"])
  })

  it.live("leaves nothing behind when the first start is interrupted", () =>
    Effect.gen(function* () {
      const directory = join(scratch, "cancelled")
      const fiber = yield* Effect.forkChild(Effect.scoped(serve(directory)))
      yield* until(
        "initdb runs",
        () => existsSync(directory) && readdirSync(directory).some((name) => name.startsWith("data.initdb-"))
      )
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(readdirSync(directory), [])
    })
  )

  it.live("does not change data of another major version, or unknown files", () =>
    Effect.gen(function* () {
      const directory = home("foreign")
      writeFileSync(join(directory, "data/PG_VERSION"), "17\n")
      const before = statSync(join(directory, "data"))
      const older = yield* refusal(directory)
      assert.deepInclude(older, {
        reason: "version-mismatch",
        detail: "data was written by PostgreSQL 17, and the embedded one is 18"
      })
      assert.deepInclude(statSync(join(directory, "data")), {
        uid: before.uid,
        mode: before.mode,
        mtimeMs: before.mtimeMs
      })
      rmSync(join(directory, "data/PG_VERSION"))
      assert.strictEqual((yield* refusal(directory)).reason, "foreign-data")
      writeFileSync(join(directory, "PG_VERSION"), "18\n")
      assert.strictEqual((yield* refusal(directory)).reason, "foreign-data")
      assert.deepStrictEqual(readdirSync(directory).sort(), ["PG_VERSION", "data"])
    })
  )

  it.live("works with a path that is too long for a socket or has characters that PostgreSQL quotes", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const directory = home(`a, "b" $HOME %d ü`)
        yield* withServer(directory, insert(1))
        const long = home("l".repeat(120))
        const server = yield* serve(long)
        assert.match(server.socketDirectory, /\/artifact-gc-[0-9a-f]{16}$/)
        assert.strictEqual(statSync(server.socketDirectory).mode & 0o777, 0o700)
        assert.strictEqual((yield* refusal(long)).reason, "in-use")
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => rmSync(server.socketDirectory, { recursive: true, force: true }))
        )
      })
    )
  )

  it.live.skipIf(!nobodyCanRun)("works as an ordinary user, whose data root can use too", () =>
    Effect.gen(function* () {
      const directory = join(scratch, "ordinary")
      mkdirSync(directory)
      chownSync(directory, nobody.uid, nobody.gid)
      yield* Effect.scoped(
        Effect.gen(function* () {
          assert.strictEqual((yield* spawnOwner(compiled(), directory, nobody)).said, "ready")
          assert.strictEqual(statSync(join(directory, "data")).uid, nobody.uid)
        })
      )
      yield* withServer(directory, insert(1))
      assert.strictEqual(statSync(join(directory, "data")).uid, nobody.uid)
      const { said } = yield* Effect.scoped(spawnOwner(compiled(), template, nobody))
      assert.include(said, "(permission): data belongs to uid 65432, and this process runs as uid 65534")
    })
  )

  it.live.skipIf(!isRoot || process.platform !== "linux")(
    "works as root below a directory only root can enter",
    () =>
      Effect.gen(function* () {
        const parent = join(scratch, "like-root")
        mkdirSync(parent, { mode: 0o700 })
        const directory = join(parent, "work/.artifact-gc/postgres")
        yield* withServer(directory, insert(1))
        assert.deepStrictEqual(yield* withServer(directory, ids), [1])
        assert.strictEqual(statSync(parent).mode & 0o777, 0o700)
        assert.strictEqual(statSync(join(directory, "data")).uid, 65432)
      })
  )
})
