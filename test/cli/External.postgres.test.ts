/** The program on an external catalogue. A test can hold a lock in it, and so control how long a batch takes. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, ManagedRuntime, Schema, Scope, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as TravelClock from "../../src/cli/demo/TravelClock.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { SweepReport } from "../../src/domain/SweepReport.ts"
import { type EmbeddedPostgres, start as startPostgres } from "../../src/embedded-postgres/Embedded.ts"
import * as Files from "../../src/storage/Files.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { buildSingleFile, logLines, type Program, type Run, start } from "../fixtures/cli/Program.ts"
import { untilTrue } from "../fixtures/Until.ts"

let program: Program
let cwd: string
const scope = Scope.makeUnsafe()
let server: EmbeddedPostgres
/** The test's own connection. */
let sql: ManagedRuntime.ManagedRuntime<SqlClient.SqlClient, never>

beforeAll(async () => {
  program = await buildSingleFile()
  cwd = program.directory("work")
  server = await Effect.runPromise(
    startPostgres({ dataDirectory: join(cwd, "postgres"), durable: false }).pipe(Scope.provide(scope))
  )
  sql = ManagedRuntime.make(Postgres.layerClient({ ...server, maxConnections: 3 }))
}, 60_000)
afterAll(async () => {
  await sql?.dispose()
  await Effect.runPromise(Scope.close(scope, Exit.void))
  program?.remove()
})

/** Runs the program on the server and a directory of files; it waits for locks as long as it takes. */
const artifactGc = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  start(process.execPath, [program.path, ...args], {
    cwd,
    env: {
      DATABASE_URL: `postgres://postgres:SECRET@localhost/postgres?host=${server.socketDirectory}`,
      DATABASE_LOCK_TIMEOUT: "5 minutes",
      DATABASE_STATEMENT_TIMEOUT: "5 minutes",
      FILES_DIRECTORY: "files",
      ...env
    }
  })

const finished = async (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) => {
  const run = artifactGc(args, env)
  return { code: await run.ended, out: run.out(), err: run.err() }
}

const messages = (run: Run) => logLines(run.err()).map(({ message }) => message)

/** Blocks every sweep in its last phase until `release`. */
const holdJournal = async () => {
  const held = Deferred.makeUnsafe<void>()
  const released = Deferred.makeUnsafe<void>()
  const lock = Effect.gen(function* () {
    const client = yield* SqlClient.SqlClient
    yield* client.withTransaction(
      Effect.gen(function* () {
        yield* client`LOCK TABLE artifact_gc.journal IN ACCESS EXCLUSIVE MODE`
        yield* Deferred.succeed(held, undefined)
        yield* Deferred.await(released)
      })
    )
  })
  const fiber = sql.runFork(lock)
  await Effect.runPromise(Deferred.await(held))
  return {
    release: async () => {
      await Effect.runPromise(Deferred.succeed(released, undefined))
      await Effect.runPromise(Fiber.join(fiber))
    }
  }
}

/** Completes when a process waits for the journal. */
const batchUnderWay = () =>
  sql.runPromise(
    Effect.gen(function* () {
      const client = yield* SqlClient.SqlClient
      const waiting = client<{ n: number }>`
        SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND relation = 'artifact_gc.journal'::regclass`
      yield* untilTrue(
        "a process waits for the journal's lock",
        Effect.map(waiting, ([row]) => row !== undefined && row.n > 0),
        { limitMillis: 30_000, everyMillis: 20 }
      )
    })
  )

describe("the program on an external catalogue", { timeout: 60_000 }, () => {
  it("refuses to work without a catalogue, and creates one only on request", async () => {
    const sweep = await finished(["sweep"])
    assert.match(
      logLines(sweep.err)[0]?.message ?? "",
      /refuses to work on this catalogue:\n {2}public\.blobs: /
    )
    assert.deepInclude(sweep, { code: 4, out: "" })

    const migrate = await finished(["migrate"])
    assert.match(logLines(migrate.err)[0]?.message ?? "", /fix: .*artifact-gc migrate --create-catalog/)
    assert.deepInclude(migrate, { code: 4, out: "" })

    const created = await finished(["migrate", "--create-catalog=artifacts", "--json"])
    assert.deepStrictEqual(created, {
      code: 0,
      out: '{"applied":["0001_catalogue","0002_collector","0003_writers_and_guards","0004_foreign_writers","0005_upload_sessions","0006_candidates","0007_listing_ranges","0008_references","0009_binding","0010_breakers","0011_unannounced_writers","0012_control","0013_reference_sources","0014_history","0015_overrides","0016_last_audit"]}\n',
      err: ""
    })
    for (const { err } of [sweep, migrate]) assert.notInclude(err, "SECRET")
  })

  it("says at the end of a migration what sweeps would refuse", async () => {
    const names = { CATALOG_SCHEMA: "judged", COLLECTOR_SCHEMA: "judged_gc" }
    const columns =
      "digest text PRIMARY KEY, object_key text NOT NULL, size_bytes int, last_used_at timestamptz"
    await sql.runPromise(
      Effect.gen(function* () {
        const client = yield* SqlClient.SqlClient
        yield* client.unsafe("CREATE SCHEMA judged")
        yield* client.unsafe(`CREATE TABLE judged.blobs (${columns}, created_at timestamp NOT NULL)`)
      })
    )
    const text = await finished(["migrate"], names)
    assert.strictEqual(text.code, 4)
    assert.match(text.out, /^Applied 0001_catalogue, .* in schema judged_gc\.\nThe collector refuses to work/)
    assert.match(
      text.out,
      /column object_key is not unique[\s\S]*has no time zone[\s\S]*no table has a foreign key/
    )
    const json = await finished(["migrate", "--json"], names)
    const { applied, problems } = JSON.parse(json.out)
    assert.deepStrictEqual([json.code, applied], [4, []])
    const kinds = problems.map(({ kind }: { readonly kind: string }) => kind)
    assert.includeMembers(kinds, ["KeyNotUnique", "MissingTimeZone", "NoReferences"])
  })

  it("migrates as a role for that alone, names the rights of a collector that it lacks, and exits with 0", async () => {
    const grants = readFileSync(new URL("../../deploy/grants/migrate.sql", import.meta.url), "utf8")
    await sql.runPromise(
      Effect.gen(function* () {
        const client = yield* SqlClient.SqlClient
        yield* client.unsafe("CREATE DATABASE rights")
      })
    )
    const owner = ManagedRuntime.make(
      Postgres.layerClient({ ...server, database: "rights", maxConnections: 2 })
    )
    const execute = (statements: string) =>
      owner.runPromise(
        Effect.flatMap(SqlClient.SqlClient, (client) =>
          Effect.forEach(
            statements
              .replaceAll(/^--.*$/gm, "")
              .split(/;\s*\n/)
              .filter((one) => one.trim() !== ""),
            (one) => client.unsafe(one)
          )
        )
      )
    await execute(grants)
    await execute(`CREATE TABLE public.blobs (digest text PRIMARY KEY, object_key text NOT NULL UNIQUE, size_bytes bigint NOT NULL, created_at timestamptz NOT NULL, last_used_at timestamptz NOT NULL);
      CREATE TABLE public.files (digest text NOT NULL REFERENCES public.blobs);
      CREATE INDEX ON public.files (digest);
      GRANT SELECT, REFERENCES ON public.blobs, public.files TO gc_migrate`)
    const env = { DATABASE_URL: `postgres://gc_migrate@localhost/rights?host=${server.socketDirectory}` }
    const text = await finished(["migrate"], env)
    assert.strictEqual(text.code, 0, text.out + text.err)
    assert.match(
      text.out,
      /\nThis role lacks rights of a collector, and a role for migrate alone needs none of them\./
    )
    assert.match(text.out, /GRANT UPDATE, DELETE ON "?public"?\."?blobs"? TO gc_migrate;/)
    const json = await finished(["migrate", "--json"], env)
    const { lacking, problems } = JSON.parse(json.out)
    assert.deepStrictEqual([json.code, problems, lacking.length], [0, undefined, 1])
    // A sweep of this role is refused as before.
    assert.strictEqual((await finished(["sweep"], env)).code, 4)
    // What no role may sweep is still a refusal.
    await execute("DROP TABLE public.files")
    assert.strictEqual((await finished(["migrate"], env)).code, 4)
    await owner.dispose()
  })

  it("guards against unannounced writers when asked to, says where, and stops when asked to", async () => {
    const tables = ["public.blobs", "public.artifacts", "public.local_files"]
    const guarded = await finished(["migrate", "--guard-unannounced-writers"])
    assert.deepStrictEqual(guarded, {
      code: 0,
      out: `Nothing to do: the tables are up to date.\nNow guarding against unannounced writers on ${tables.join(", ")}.\n`,
      err: ""
    })
    const again = await finished(["migrate", "--guard-unannounced-writers"])
    assert.match(again.out, /\nNothing to do: the triggers against unannounced writers are installed\.\n$/)
    const removed = await finished(["migrate", "--unguard-unannounced-writers", "--json"])
    assert.deepStrictEqual(JSON.parse(removed.out), {
      applied: [],
      foreignWriters: { created: [], dropped: tables }
    })
    assert.strictEqual(removed.code, 0)
  })

  it("accepts the former names of these flags", async () => {
    const tables = ["public.blobs", "public.artifacts", "public.local_files"]
    const guarded = await finished(["migrate", "--guard-foreign-writers", "--json"])
    assert.deepStrictEqual(JSON.parse(guarded.out), {
      applied: [],
      foreignWriters: { created: tables, dropped: [] }
    })
    const removed = await finished(["migrate", "--unguard-foreign-writers"])
    assert.include(removed.out, `\nNo longer guarding against unannounced writers on ${tables.join(", ")}.\n`)
    assert.deepInclude(removed, { code: 0, err: "" })
  })

  it("watches references when asked to, sweeps on, and stops when asked to", async () => {
    const tables = [
      ...["public.blobs", "artifact_gc.pins", "artifact_gc.orphans"],
      ...["public.artifacts", "public.local_files"]
    ]
    const watched = await finished(["migrate", "--watch-references", "--json"])
    assert.deepStrictEqual(JSON.parse(watched.out), {
      applied: [],
      references: { created: tables, dropped: [] }
    })
    assert.deepInclude(await finished(["sweep"]), { code: 0 })
    const again = await finished(["migrate", "--watch-references"])
    assert.match(again.out, /\nNothing to do: the triggers that watch references are installed\.\n$/)
    const removed = await finished(["migrate", "--unwatch-references"])
    assert.match(removed.out, /\nNo longer watching references on .*public\.blobs/)
    assert.deepInclude(removed, { code: 0, err: "" })
  })

  it("creates the tables of a registry once and on request, and serves none without them", async () => {
    const without = await finished(["serve", "--serve-port", "0"])
    assert.match(logLines(without.err).at(-1)?.message ?? "", /run: artifact-gc migrate --registry/)
    assert.deepInclude(without, { code: 4, out: "" })
    assert.deepStrictEqual(await finished(["migrate", "--registry"]), {
      code: 0,
      out: "Applied 0001_manifests, 0002_loss_of_names, 0003_keys, 0004_saved_hashes, 0005_retention, 0006_judgements in schema artifact_registry.\n",
      err: ""
    })
    const again = await finished(["migrate", "--registry", "--json"])
    assert.deepInclude(again, { code: 0, out: '{"applied":[],"registry":[]}\n' })
    assert.match((await finished(["migrate"])).out, /^Nothing to do: the tables are up to date\.\n$/)
  })

  it("lists dead letters, one per line, and puts back the named one", async () => {
    await sql.runPromise(
      Effect.flatMap(
        SqlClient.SqlClient,
        (client) => client`
          INSERT INTO artifact_gc.journal (object_key, digest, size_bytes, reason, journaled_at, not_before, attempts, last_error, dead_at)
          SELECT 'blobs/' || n, 'sha256:' || n, 2000, 'purged', to_timestamp(0), to_timestamp(0), 12, 'AccessDenied: a legal hold', to_timestamp(86400)
          FROM generate_series(1, 2) n`
      )
    )
    const { code, out, err } = await finished(["journal"])
    assert.strictEqual(
      out,
      `blobs/1  2.0 KB  purged, 12 attempts until 1970-01-02T00:00:00.000Z: AccessDenied: a legal hold
blobs/2  2.0 KB  purged, 12 attempts until 1970-01-02T00:00:00.000Z: AccessDenied: a legal hold
2 dead letters, 0 keys journaled, 0 of them due.
`
    )
    assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
    const retried = await finished(["journal", "--retry", "--key", "blobs/2"])
    assert.strictEqual(retried.out, "1 dead letter put back. The next sweep tries to delete it.\n")
    const left = (await finished(["journal", "--json"])).out.trim()
    assert.deepInclude(JSON.parse(left), { key: "blobs/1", sizeBytes: 2000, reason: "purged", attempts: 12 })
  })

  it("shows control characters of keys, and never sends them to the terminal", async () => {
    const key = "blobs/\u001b[2J\u009b31m\r\npwned\u202e"
    const run = (statement: (client: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>) =>
      sql.runPromise(Effect.asVoid(Effect.flatMap(SqlClient.SqlClient, statement)))
    await run(
      (client) => client`
        INSERT INTO artifact_gc.journal (object_key, digest, size_bytes, reason, journaled_at, not_before, attempts, last_error, dead_at)
        VALUES (${key}, ${key}, 2000, 'purged', to_timestamp(0), to_timestamp(0), 12, ${key}, to_timestamp(86400))`
    )
    const { out } = await finished(["journal"])
    const shown = String.raw`blobs/\x1b[2J\x9b31m\x0d\npwned\u{202e}`
    assert.include(out, `${shown}  2.0 KB  purged, 12 attempts until 1970-01-02T00:00:00.000Z: ${shown}\n`)
    assert.notMatch(out.replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u)
    await run((client) => client`DELETE FROM artifact_gc.journal WHERE object_key = ${key}`)
  })

  it("lists the collectors at work, and forgets one that was killed", async () => {
    const killed = artifactGc(["run"], { GC_COLLECTOR_ID: "killed", GC_GRACE: "2 hours" })
    await killed.says(/Next sweep/)
    killed.child.kill("SIGKILL")
    await killed.ended
    const refused = await finished(["sweep"], { GC_COLLECTOR_ID: "other" })
    assert.strictEqual(refused.code, 4)
    assert.include(refused.out, "Collector killed (last sweep ")
    assert.include(refused.out, "or at once: artifact-gc collectors --forget=killed.")

    assert.match(
      (await finished(["collectors"])).out,
      /^killed {2}last sweep [^\n]*\n(?: {2}[^\n]*\n)* {2}GC_GRACE: 2h\n[\s\S]*\n1 collector at work\.\n$/
    )
    const unknown = await finished(["collectors", "--forget", "kiled"])
    assert.deepInclude(unknown, { code: 3 })
    assert.match(unknown.out, /^There is no collector kiled\. Nothing was changed\./)
    const forgotten = await finished(["collectors", "--forget", "killed", "--json"])
    assert.deepInclude(forgotten, { code: 0, out: '{"forgotten":true}\n' })
    assert.strictEqual((await finished(["collectors"])).out, "0 collectors at work.\n")
    assert.strictEqual((await finished(["sweep"], { GC_COLLECTOR_ID: "other" })).code, 0)
  })
})

describe("an audit by the program", { timeout: 60_000 }, () => {
  /** In a directory of its own: `rows` blobs at `audit/…`, of which the first has its object, and one object without an owner. */
  let arranged = 0
  const arrange = async (rows: number) => {
    const files = program.directory(`audit-${++arranged}`)
    const store = Files.layer({ directory: files, durable: false })
    const put = (key: string, modifiedBefore: Duration.Input) =>
      Effect.flatMap(Storage, ({ put }) => put(ObjectKey.make(key), Stream.make(new Uint8Array(3)), 3)).pipe(
        Effect.provide(store),
        Effect.provideService(
          Clock.Clock,
          TravelClock.make(Duration.negate(Duration.fromInputUnsafe(modifiedBefore)))
        )
      )
    await Effect.runPromise(Effect.andThen(put("audit/000000", "1 second"), put("blobs/nobody/1", "3 days")))
    await sql.runPromise(
      Effect.gen(function* () {
        const client = yield* SqlClient.SqlClient
        yield* client`DELETE FROM blobs`
        // Each audit has a store of its own.
        yield* client`DELETE FROM artifact_gc.binding`
        yield* client`
          INSERT INTO blobs (digest, object_key, size_bytes, created_at)
          SELECT 'sha256:' || n, 'audit/' || lpad(n::text, 6, '0'), 3, to_timestamp(0)
          FROM generate_series(0, ${rows - 1}) n`
      })
    )
    return (args: ReadonlyArray<string>, env = {}) =>
      artifactGc(["audit", ...args], { FILES_DIRECTORY: files, ...env })
  }
  const toEnd = async (run: Run) => ({ code: await run.ended, out: run.out(), err: run.err() })
  const events = (out: string) =>
    out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))

  it("prints each finding and a summary, exits with the code of the worst, and repairs what it can", async () => {
    const audit = await arrange(2)
    const { code, out, err } = await toEnd(audit([]))
    assert.match(
      out,
      /^missing {4}audit\/000001 {2}3 B, blob sha256:1, not referenced\nownerless {2}blobs\/nobody\/1 {2}3 B, written .*\nAudit of everything: complete; took /
    )
    assert.deepStrictEqual([code, err], [8, ""])
    const json = await toEnd(audit(["--json", "--prefix", "blobs/"]))
    assert.strictEqual(json.code, 7)
    const [finding, summary] = events(json.out)
    assert.deepInclude(finding, { _tag: "OwnerlessObject", key: "blobs/nobody/1" })
    assert.deepInclude(summary, { _tag: "AuditSummary", complete: true, goOn: null })
    assert.strictEqual((await toEnd(audit(["--prefix", "blobs/", "--repair"]))).code, 0)
    assert.strictEqual((await toEnd(audit(["--prefix=blobs/"]))).code, 0)
    assert.strictEqual((await toEnd(audit(["--after=audit/000001", "--json"]))).code, 0)
  })

  it("that is interrupted prints its progress and the command that continues, and exits with 130", async () => {
    const audit = await arrange(3000)
    const held = await holdJournal()
    const run = audit(["--json", "--prefix", "audit/"])
    await batchUnderWay()
    run.child.kill("SIGINT")
    await run.says(/Stopping/)
    assert.strictEqual(await run.ended, 130)
    await held.release()
    const summary = events(run.out()).at(-1)
    assert.deepInclude(summary, {
      _tag: "AuditSummary",
      complete: false,
      stoppedBy: "stopped",
      goOn: "artifact-gc audit --prefix=audit/"
    })
  })
})

/** Empties the catalogue and the journal, and forgets the binding. */
const forgetPlace = () =>
  sql.runPromise(
    Effect.gen(function* () {
      const client = yield* SqlClient.SqlClient
      yield* client`DELETE FROM blobs`
      yield* client`DELETE FROM artifact_gc.journal`
      yield* client`DELETE FROM artifact_gc.binding`
    })
  )

describe("another store", { timeout: 60_000 }, () => {
  beforeAll(forgetPlace)

  it("is refused until it is bound, and then the journal of the former store is forgotten", async () => {
    assert.strictEqual((await finished(["rebind"])).code, 0)
    assert.strictEqual((await finished(["sweep"])).code, 0)
    await sql.runPromise(
      Effect.flatMap(
        SqlClient.SqlClient,
        (client) => client`
          INSERT INTO artifact_gc.journal (object_key, size_bytes, reason, journaled_at, not_before)
          VALUES ('blobs/dead', 1, 'purged', now(), now() + interval '1 day')`
      )
    )
    const elsewhere = { FILES_DIRECTORY: "elsewhere" }
    const refused = await finished(["sweep"], elsewhere)
    assert.strictEqual(refused.code, 4)
    assert.include(refused.out, "refused by the binding guard, nothing was deleted")
    assert.match(refused.out, /FILES_DIRECTORY: \S+elsewhere here, \S+files bound/)

    const shown = await finished(["rebind"], elsewhere)
    assert.strictEqual(shown.code, 0)
    assert.include(shown.out, "The settings name another place:")
    assert.include(shown.out, "Nothing was changed.")
    const bound = await finished(["rebind", "--confirm", "--json"], elsewhere)
    assert.deepInclude(JSON.parse(bound.out), { forgotten: { journaled: 1, uploads: 0, orphans: 0 } })
    assert.strictEqual((await finished(["sweep"], elsewhere)).code, 0)
    assert.strictEqual((await finished(["sweep"])).code, 4)
  })
})

describe("a signal", { timeout: 60_000 }, () => {
  // The audits left rows without objects, beside which no sweep begins.
  beforeAll(forgetPlace)

  it("to the service lets the current batch finish, and no other begins", async () => {
    const held = await holdJournal()
    const run = artifactGc(["run"], { GC_INTERVAL: "1 second", GC_JITTER: "0 seconds" })
    await batchUnderWay()
    run.child.kill("SIGTERM")
    await run.says(/Stopping: finishing the current batch within 25\.0 s/)
    assert.isNull(run.child.exitCode)
    await held.release()
    assert.strictEqual(await run.ended, 0)
    const said = messages(run)
    assert.match(said.at(-2) ?? "", /^Sweep (complete|bounded): /)
    assert.strictEqual(said.at(-1), "Stopped.")
    assert.lengthOf(
      said.filter((message) => message.startsWith("Sweep ")),
      1
    )
  })

  it("that is sent twice ends the service at once, even within a batch", async () => {
    const held = await holdJournal()
    const run = artifactGc(["run"])
    await batchUnderWay()
    run.child.kill("SIGTERM")
    await run.says(/A second signal ends the process at once/)
    run.child.kill("SIGTERM")
    assert.strictEqual(await run.ended, 130)
    assert.notInclude(messages(run), "Stopped.")
    await held.release()
  })

  it("interrupts the batch after the deadline", async () => {
    const held = await holdJournal()
    const run = artifactGc(["run"], { GC_SHUTDOWN_DEADLINE: "1 second" })
    await batchUnderWay()
    run.child.kill("SIGINT")
    await run.says(/The deadline has passed: interrupting the current batch/)
    assert.strictEqual(await run.ended, 0)
    await held.release()
  })

  it("to a sweep lets the current batch finish, prints its progress, and exits with 130", async () => {
    const held = await holdJournal()
    const run = artifactGc(["sweep", "--json"])
    await batchUnderWay()
    run.child.kill("SIGINT")
    await run.says(/Stopping/)
    await held.release()
    assert.strictEqual(await run.ended, 130)
    const report = Schema.decodeUnknownSync(Schema.fromJsonString(SweepReport))(run.out())
    assert.strictEqual(report.outcome, "bounded")
    assert.strictEqual(report.phases.journal.stoppedBy, "stopped")
  })
})
