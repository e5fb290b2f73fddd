/**
 * The program on a database where another role made functions and operators of PostgreSQL's names, in `public` and in a
 * schema that the role's search path names before `pg_catalog`. No command may call one.
 */
import { join } from "node:path"
import { Effect, Exit, ManagedRuntime, Scope, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Postgres from "../../src/database/Postgres.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { type EmbeddedPostgres, start as startPostgres } from "../../src/embedded-postgres/Embedded.ts"
import * as Files from "../../src/storage/Files.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { client, image } from "../fixtures/cli/Image.ts"
import { buildSingleFile, type Program, start } from "../fixtures/cli/Program.ts"

let program: Program
let cwd: string
const scope = Scope.makeUnsafe()
let server: EmbeddedPostgres
let sql: ManagedRuntime.ManagedRuntime<SqlClient.SqlClient, never>

/** PostgreSQL's functions that the program's statements call, as `name(arguments) result`. */
const functions = [
  "starts_with(name, text) boolean",
  "starts_with(text, text) boolean",
  "concat_ws(text, text, text) text",
  "quote_ident(text) text",
  "quote_ident(name) text",
  "current_setting(text) text",
  "set_config(text, text, boolean) text",
  "format_type(oid, integer) text",
  "to_regclass(text) regclass",
  "pg_backend_pid() integer",
  "clock_timestamp() timestamptz",
  "now() timestamptz",
  "to_timestamp(double precision) timestamptz",
  "octet_length(text) integer",
  "octet_length(varchar) integer",
  "hashtextextended(text, bigint) bigint",
  "pg_try_advisory_xact_lock(integer, integer) boolean"
]

const compared = [
  ["varchar", "varchar"],
  ["varchar", "text"],
  ["text", "varchar"],
  ["text", "text"],
  ["name", "text"],
  ["name", "name"],
  ["oid", "oid"],
  ["bigint", "bigint"],
  ["bigint", "integer"]
]

const called = "PERFORM pg_catalog.nextval('traps.calls'::pg_catalog.regclass);"

const functionTrap = (schema: string, signature: string): string => {
  const [, name = "", parameters = "", result = ""] = /^(\w+)\((.*)\) (.+)$/.exec(signature) ?? []
  const given = parameters === "" ? [] : parameters.split(", ").map((_, n) => `$${n + 1}`)
  const original = name === "octet_length" ? `${name}($1::text)` : `${name}(${given.join(", ")})`
  return `CREATE FUNCTION ${schema}.${name}(${parameters}) RETURNS ${result} LANGUAGE plpgsql AS
    $$ BEGIN ${called} RETURN pg_catalog.${name === "starts_with" ? "starts_with($1::text, $2)" : original}; END $$`
}

const operatorTraps = (schema: string): ReadonlyArray<string> =>
  compared.flatMap(([left = "", right = ""], n) =>
    ["=", ">=", "<=", ">", "<"].flatMap((operator, k) => [
      `CREATE FUNCTION ${schema}.compares_${n}_${k}(${left}, ${right}) RETURNS boolean LANGUAGE plpgsql AS
         $$ BEGIN ${called} RETURN $1::text OPERATOR(pg_catalog.${operator}) $2::text; END $$`,
      `CREATE OPERATOR ${schema}.${operator} (FUNCTION = ${schema}.compares_${n}_${k}, LEFTARG = ${left}, RIGHTARG = ${right})`
    ])
  )

/** Columns of varchar, whose operators PostgreSQL has under text only, and a reference table with a key of two columns. */
const catalogue = [
  `CREATE TABLE public.blobs (digest varchar(100) PRIMARY KEY, object_key varchar(300) NOT NULL UNIQUE, size_bytes bigint,
     created_at timestamptz NOT NULL, last_used_at timestamptz)`,
  `CREATE TABLE public.docs (shelf varchar(9), title varchar(9), digest varchar(100) REFERENCES public.blobs,
     PRIMARY KEY (shelf, title))`,
  "CREATE INDEX ON public.docs (digest)",
  `INSERT INTO public.blobs SELECT 'd' || n, 'blobs/' || n, 1, 'epoch', 'epoch' FROM generate_series(1, 20) n`,
  `INSERT INTO public.docs SELECT 'a', n::text, 'd' || n FROM generate_series(1, 10) n`
]

const traps = [
  "CREATE SCHEMA early",
  "CREATE SCHEMA traps",
  "CREATE SEQUENCE traps.calls",
  ...["public", "early"].flatMap((schema) => [
    ...functions.map((signature) => functionTrap(schema, signature)),
    ...operatorTraps(schema)
  ]),
  "ALTER DATABASE postgres SET search_path = early, pg_catalog, public"
]

const run = (...statements: ReadonlyArray<string>) =>
  sql.runPromise(
    Effect.flatMap(SqlClient.SqlClient, (connection) =>
      Effect.forEach(statements, (statement) => connection.unsafe<Record<string, unknown>>(statement))
    )
  )

beforeAll(async () => {
  program = await buildSingleFile()
  cwd = program.directory("work")
  server = await Effect.runPromise(
    startPostgres({ dataDirectory: join(cwd, "postgres"), durable: false }).pipe(Scope.provide(scope))
  )
  sql = ManagedRuntime.make(Postgres.layerClient({ ...server, maxConnections: 1 }))
  await run(...catalogue, ...traps)
  await Effect.runPromise(
    Effect.flatMap(Storage, ({ put }) =>
      Effect.forEach(Array.from({ length: 20 }), (_, n) =>
        put(ObjectKey.make(`blobs/${n + 1}`), Stream.make(new Uint8Array(1)), 1)
      )
    ).pipe(Effect.provide(Files.layer({ directory: join(cwd, "files"), durable: false })))
  )
}, 60_000)
afterAll(async () => {
  await sql?.dispose()
  await Effect.runPromise(Scope.close(scope, Exit.void))
  program?.remove()
})

const noWaits = { GC_GRACE: "0 seconds", GC_QUARANTINE: "0 seconds", GC_LEFTOVER_GRACE: "0 seconds" }

const artifactGc = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  start(process.execPath, [program.path, ...args], {
    cwd,
    env: {
      DATABASE_URL: `postgres://postgres@localhost/postgres?host=${server.socketDirectory}`,
      FILES_DIRECTORY: "files",
      GC_BREAKER_PERCENT: "100",
      ...env
    }
  })

/** Returns how many traps `action` called. */
const callsOf = async (action: () => Promise<unknown>): Promise<unknown> => {
  await run("SELECT pg_catalog.setval('traps.calls', 1, false)")
  await action()
  const [[counted] = []] = await run(
    "SELECT CASE WHEN is_called THEN last_value::int ELSE 0 END AS calls FROM traps.calls"
  )
  return counted?.calls
}

describe("the program among functions and operators of PostgreSQL's names", { timeout: 120_000 }, () => {
  it("statements that rely on the search path call them (control)", async () => {
    const calls = await callsOf(() =>
      run(
        "SELECT count(*) FROM pg_catalog.pg_class WHERE starts_with(relname, 'blobs')",
        "SELECT FROM public.blobs WHERE digest = 'd1'::varchar"
      )
    )
    assert.isAbove(Number(calls), 2)
  })

  const commands: ReadonlyArray<readonly [ReadonlyArray<string>, Readonly<Record<string, string>>?]> = [
    [["migrate"]],
    [["migrate", "--registry", "--watch-references", "--guard-unannounced-writers"]],
    [["migrate", "--unwatch-references", "--unguard-unannounced-writers"]],
    [["migrate", "--watch-references", "--guard-unannounced-writers"]],
    [["sweep", "--dry-run"], noWaits],
    [["sweep"], { ...noWaits, GC_QUARANTINE: "1 day" }],
    [["condemned"]],
    [["restore", "--all"]],
    [["breaker"]],
    [["breaker", "--confirm"]],
    [["audit"]],
    [["audit", "--deep", "--repair"]],
    [["journal"]],
    [["journal", "--retry"]],
    [["collectors"]],
    [["sweep"], noWaits]
  ]
  for (const [args, env] of commands) {
    it(`\`${args.join(" ")}\` calls none`, async () => {
      let [code, err] = [-1, ""] as [number | string, string]
      const calls = await callsOf(async () => {
        const process = artifactGc(args, env)
        code = await process.ended
        err = process.err()
      })
      assert.deepStrictEqual([code, err.includes("SQLSTATE")], [0, false], err)
      assert.strictEqual(calls, 0)
    })
  }

  it("a registry that is pushed to, pulled from and swept calls none", async () => {
    const calls = await callsOf(async () => {
      const process = artifactGc(["serve", "--serve-port", "0"], {
        ...noWaits,
        GC_INTERVAL: "1 second",
        REGISTRY_HOLD: "1 second",
        GC_UNTAGGED_GRACE: "0 seconds"
      })
      await process.says(/Serving an OCI registry at .*\n/)
      const [, url = ""] = /Serving an OCI registry at (http:[\w.:/]+)\."/.exec(process.err()) ?? []
      const registry = client(url, "app")
      await registry.push(image("one"), "latest")
      assert.deepStrictEqual(await registry.pull("latest"), image("one"))
      await registry.deleteTag("latest")
      await process.says(/Sweep complete/)
      process.child.kill("SIGTERM")
      await process.ended
      assert.notInclude(process.err(), "SQLSTATE")
    })
    assert.strictEqual(calls, 0)
  })
})
