/** A crash of PostgreSQL after a sweep, for a host whose commits do not wait for the disk. */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as Postgres from "../../src/database/Postgres.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import { type EmbeddedPostgres, start } from "../../src/embedded-postgres/Embedded.ts"
import { alter, careless, hostOn, hostsClient, orphan, runAll } from "../fixtures/database/Host.ts"

/** The processes of a server, the first of which is its postmaster. */
const processesOf = ({ dataDirectory }: EmbeddedPostgres): ReadonlyArray<number> => {
  const file = readdirSync(dataDirectory, { recursive: true, encoding: "utf8" }).find((name) =>
    name.endsWith("postmaster.pid")
  )
  const postmaster = Number(readFileSync(join(dataDirectory, file ?? ""), "utf8").split("\n")[0])
  const children = spawnSync("ps", ["-o", "pid=", "--ppid", String(postmaster)], { encoding: "utf8" }).stdout
  return [postmaster, ...children.split("\n").map(Number)].filter((pid) => pid > 0)
}

const canCrash = process.platform === "linux" && spawnSync("ps", ["--version"]).status === 0

describe.skipIf(!canCrash)(
  "A crash of PostgreSQL after a sweep, for a host that does not wait for the disk",
  () => {
    it.live(
      "brings back what the host deleted (control), and nothing whose object the sweep deleted",
      () =>
        Effect.gen(function* () {
          const directory = yield* Effect.acquireRelease(
            Effect.sync(() => mkdtempSync(join(tmpdir(), "gc-crash-"))),
            (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }))
          )
          const left = yield* Effect.scoped(
            Effect.gen(function* () {
              const server = yield* start({ dataDirectory: directory, durable: true })
              const place = { ...server }
              yield* Effect.provide(
                Postgres.migrate(defaultNames, { createCatalog: "artifacts" }),
                hostsClient(place, 1)
              )
              const admin = Context.get(yield* Layer.build(hostsClient(place, 1)), SqlClient.SqlClient)
              // Nothing but a commit that waits for it reaches the disk within the test.
              yield* admin.unsafe("ALTER SYSTEM SET wal_writer_delay = '10s'")
              yield* admin.unsafe("ALTER SYSTEM SET wal_writer_flush_after = '1GB'")
              yield* admin.unsafe("ALTER SYSTEM SET bgwriter_lru_maxpages = 0")
              yield* admin`SELECT pg_reload_conf()`
              yield* alter(admin, careless)
              // A catalogue whose tables never held a reference would be asked about first.
              yield* runAll(
                admin,
                "INSERT INTO public.blobs (digest, object_key, size_bytes, created_at) VALUES ('d', 'k', 1, now())",
                "INSERT INTO public.artifacts (repository, name, digest, created_at) VALUES ('r', 'n', 'd', now())",
                "DELETE FROM public.artifacts",
                "DELETE FROM public.blobs"
              )
              yield* admin.unsafe("CREATE TABLE public.hosts (id integer)")
              yield* admin.unsafe("INSERT INTO public.hosts VALUES (1)")
              const host = yield* hostOn(hostsClient(place))
              yield* orphan(host)
              yield* admin`CHECKPOINT`
              yield* host.sweeps
              const objects = yield* host.objects
              yield* host.sql.unsafe("DELETE FROM public.hosts")
              for (const pid of processesOf(server)) process.kill(pid, "SIGKILL")
              yield* Effect.ignore(Effect.timeout(server.exited, "10 seconds"))
              return objects
            })
          ).pipe(Effect.exit)
          assert.deepStrictEqual(left._tag === "Success" ? left.value : left, 0)
          const server = yield* start({ dataDirectory: directory, durable: true })
          const again = Context.get(yield* Layer.build(hostsClient({ ...server }, 1)), SqlClient.SqlClient)
          assert.deepStrictEqual(
            yield* again`SELECT id FROM public.hosts`,
            [{ id: 1 }],
            "the host's row is back"
          )
          assert.deepStrictEqual(yield* again`SELECT digest FROM public.blobs`, [])
        }),
      60_000
    )
  }
)
