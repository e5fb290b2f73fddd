/** The guards and the undo window, as processes: several on one catalogue, and an operator at the command line. */
import { join } from "node:path"
import { Effect, Exit, ManagedRuntime, Schema, Scope, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Postgres from "../../src/database/Postgres.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { SweepReport } from "../../src/domain/SweepReport.ts"
import { type EmbeddedPostgres, start as startPostgres } from "../../src/embedded-postgres/Embedded.ts"
import { Status } from "../../src/status/Status.ts"
import * as Files from "../../src/storage/Files.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { buildSingleFile, logLines, type Program, start } from "../fixtures/cli/Program.ts"

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
  const migrated = await finished(["migrate", "--create-catalog=artifacts"])
  assert.strictEqual(migrated.code, 0, migrated.err)
}, 60_000)
afterAll(async () => {
  await sql?.dispose()
  await Effect.runPromise(Scope.close(scope, Exit.void))
  program?.remove()
})

type Environment = Readonly<Record<string, string>>

/** No grace, so that the first sweep condemns, and a quarantine longer than any test. */
const patient: Environment = { GC_GRACE: "0 seconds", GC_QUARANTINE: "7 days" }

const artifactGc = (args: ReadonlyArray<string>, env: Environment = {}) =>
  start(process.execPath, [program.path, ...args], {
    cwd,
    env: {
      DATABASE_URL: `postgres://postgres:SECRET@localhost/postgres?host=${server.socketDirectory}`,
      FILES_DIRECTORY: "files",
      ...env
    }
  })

const finished = async (args: ReadonlyArray<string>, env: Environment = {}) => {
  const run = artifactGc(args, env)
  return { code: await run.ended, out: run.out(), err: run.err() }
}

const decodeReport = Schema.decodeSync(Schema.fromJsonString(SweepReport))

const swept = async (env: Environment) => {
  const { code, out } = await finished(["sweep", "--json"], env)
  return { code, report: decodeReport(out) }
}

const query = (statement: string) =>
  sql.runPromise(
    Effect.flatMap(SqlClient.SqlClient, (client) =>
      client.unsafe<Readonly<Record<string, unknown>>>(statement)
    )
  )

/** Blobs `<name>1` to `<name>n` that nothing refers to, with their objects. */
const orphans = async (name: string, n: number) => {
  const put = Effect.flatMap(Storage, (store) =>
    Effect.forEach(
      Array.from({ length: n }, (_, at) => at + 1),
      (number) =>
        store.put(ObjectKey.make(`blobs/${name}/${number}`), Stream.make(new Uint8Array(1000)), 1000)
    )
  )
  await Effect.runPromise(Effect.provide(put, Files.layer({ directory: join(cwd, "files"), durable: false })))
  await query(
    `INSERT INTO public.blobs (digest, object_key, size_bytes, last_used_at, created_at)
     SELECT '${name}' || n, 'blobs/${name}/' || n, 1000, to_timestamp(0), to_timestamp(0) FROM generate_series(1, ${n}) n`
  )
}

const digests = async () =>
  (await query("SELECT digest FROM public.blobs ORDER BY digest")).map((row) => String(row.digest))

describe("the undo window", { timeout: 120_000 }, () => {
  it("lists condemned blobs, restores them by digest, by sweep and all, and names those that it could not restore", async () => {
    await orphans("a", 4)
    const { report } = await swept(patient)
    assert.strictEqual(report.left?.condemned, 4)
    await orphans("b", 1)
    const second = await swept(patient)

    const listed = await finished(["condemned"])
    assert.match(
      listed.out,
      new RegExp(
        `^a1 {2}1\\.0 KB {2}condemned \\d{4}-.*Z by ${report.sweep}\na2 (.*\n){4}5 condemned blobs, 5\\.0 KB\\.\n$`
      )
    )
    const lines = (await finished(["condemned", "--sweep", second.report.sweep, "--json"])).out
    assert.deepInclude(JSON.parse(lines), {
      digest: "b1",
      key: "blobs/b/1",
      sizeBytes: 1000,
      sweep: second.report.sweep
    })

    const some = await finished([
      "restore",
      "--digest",
      "a1",
      "--digest",
      "never",
      "--digest",
      "a1",
      "--json"
    ])
    assert.deepInclude(JSON.parse(some.out), { restored: 1, others: [{ digest: "never", why: "gone" }] })
    assert.strictEqual(some.code, 3)
    const again = await finished(["restore", "--digest", "a1"])
    assert.strictEqual(again.out, "Nothing was restored.\na1 is not condemned; nothing was changed.\n")
    assert.strictEqual(again.code, 3)
    const bySweep = await finished(["restore", "--sweep", second.report.sweep, "--hold", "2 days"])
    assert.match(bySweep.out, /^1 blob restored and kept until \d{4}-.*Z\. Put references back before that/)
    assert.strictEqual(bySweep.code, 0)
    const all = await finished(["restore", "--all", "--json"])
    assert.deepInclude(JSON.parse(all.out), { restored: 3, others: [] })
    const held = Date.parse(JSON.parse(all.out).heldUntil) - Date.now()
    assert.isTrue(held > 6.9 * 86_400_000 && held <= 7 * 86_400_000)

    // Restored blobs survive a sweep without waits.
    const hurried = await swept({ GC_GRACE: "0 seconds", GC_QUARANTINE: "0 seconds" })
    assert.deepInclude(hurried.report.totals, { eligible: 0, deleted: 0 })
    assert.deepInclude(hurried.report.left, { condemned: 0, pins: 5 })
    assert.deepStrictEqual(await digests(), ["a1", "a2", "a3", "a4", "b1"])
    assert.strictEqual((await finished(["condemned"])).out, "0 condemned blobs, 0 B.\n")
    assert.strictEqual((await finished(["restore", "--all"])).out, "Nothing was restored.\n")
  })

  it("needs exactly one selection of what to restore", async () => {
    for (const args of [[], ["--all", "--sweep", "x"], ["--all", "--digest", "a1"]]) {
      const { code, err, out } = await finished(["restore", ...args])
      assert.include(logLines(err)[0]?.message, "give exactly one of them")
      assert.deepInclude({ code, out }, { code: 2, out: "" })
    }
    assert.strictEqual((await finished(["restore", "--all", "--hold", "soon"])).code, 2)
  })
})

describe("the breaker", { timeout: 120_000 }, () => {
  it("stops a sweep with exit code 6, shows why, and allows the deletion after a confirmation", async () => {
    const hurried = { GC_GRACE: "0 seconds", GC_QUARANTINE: "0 seconds", GC_BREAKER_BLOBS: "2" }
    assert.strictEqual(
      (await finished(["breaker"])).out.split("\n")[0],
      "orphans: closed; it has never tripped"
    )
    // No reference table of this catalogue ever held a row, which an earlier sweep asked about.
    assert.match((await finished(["breaker", "--confirm"])).out, /^Confirmed: unreferenced\. /)
    assert.strictEqual(
      (await finished(["breaker", "--confirm"])).out,
      "No breaker is open. Nothing was changed.\n"
    )
    await orphans("c", 5)
    const planned = await finished(["sweep", "--dry-run"], hurried)
    assert.include(planned.out, "breaker: A sweep would trip the breaker: 5 (50.0 % of 10) blobs")
    assert.strictEqual(planned.code, 6)
    const stopped = await finished(["sweep"], hurried)
    assert.match(stopped.out, /^Sweep of .*: the breaker holds back orphans, see below; took/)
    assert.match(
      stopped.out,
      /\nbreaker: The breaker is open since .*artifact-gc breaker --confirm orphans\.\n/
    )
    assert.strictEqual(stopped.code, 6)
    assert.lengthOf(await digests(), 10)

    const shown = await finished(["breaker"])
    assert.match(
      shown.out,
      /^orphans: OPEN since .* over 5 of 10 blobs \(50\.0 %\), 5\.0 KB of 10\.0 KB \(50\.0 %\)\n {2}Nothing like it was allowed here in the last 30 days\.\n {2}To see them: artifact-gc condemned\. .*\n {2}5 of 10 blobs .* condemned\nleftovers: closed; it has never tripped\nunreferenced: closed; tripped .*, confirmed .*\n$/
    )
    const json = JSON.parse((await finished(["breaker", "--json"])).out)
    assert.deepInclude(json.orphans, {
      open: true,
      confirmedAt: null,
      exposure: { blobs: 5, bytes: 5000, totalBlobs: 10, totalBytes: 10_000 }
    })
    assert.deepInclude(json.leftovers, { open: false, trippedAt: null })

    assert.strictEqual(
      (await finished(["breaker", "--confirm", "leftovers"])).out,
      "The breaker leftovers is not open. Nothing was changed.\n"
    )
    assert.match(
      (await finished(["breaker", "--confirm", "orphans"])).out,
      /^Confirmed: orphans\. Nothing was deleted yet\. The next sweep deletes/
    )
    const { code, report } = await swept(hurried)
    assert.deepInclude(report.totals, { deleted: 5, failed: 0 })
    assert.strictEqual(code, 0)
    assert.match(
      (await finished(["breaker"])).out,
      /^orphans: closed; tripped .* over 5 of 10 blobs.*, confirmed /
    )
    assert.lengthOf(await digests(), 5)
  })
})

describe("a pause", { timeout: 120_000 }, () => {
  const often = { GC_INTERVAL: "1 second", GC_JITTER: "0 seconds" }

  it("holds a running service, refuses a sweep beside it, and ends without a restart", async () => {
    const none = await finished(["resume"])
    assert.deepInclude(none, { code: 3, out: "Collection was not paused. Nothing was changed.\n" })
    const service = artifactGc(["run"], often)
    await service.says(/Sweep complete/)
    const paused = await finished(["pause", "--reason", "restore of the store"])
    assert.deepInclude(paused, {
      code: 0,
      out: "All collectors of this catalogue are paused. A sweep under way ends after the batch in hand.\nTo end it: artifact-gc resume.\n"
    })
    await service.says(
      /Collection is paused since .* until it is resumed: restore of the store\. Nothing was deleted/
    )
    const sweeps = [...service.err().matchAll(/Sweep complete/g)].length

    const refused = await finished(["sweep"])
    assert.strictEqual(refused.code, 4)
    assert.match(refused.out, /^Sweep of .*: refused by the pause guard, nothing was deleted/)
    assert.strictEqual((await finished(["sweep", "--dry-run"])).code, 0)
    const forced = await finished(["sweep", "--even-if-paused"])
    assert.strictEqual(forced.code, 0)
    assert.include(forced.out, "This sweep was started in spite of it.")

    const again = JSON.parse((await finished(["pause", "--for", "2 hours", "--json"])).out)
    assert.strictEqual(Date.parse(again.paused.until) - Date.parse(again.paused.since), 7_200_000)
    assert.strictEqual(again.replaced.reason, "restore of the store")
    assert.lengthOf([...service.err().matchAll(/Sweep complete/g)], sweeps)
    const resumed = await finished(["resume"])
    assert.match(
      resumed.out,
      /^Collection is resumed\. It was paused since .* by .*: no reason was given\.\n$/
    )
    await service.says(/Collection is resumed/)
    await service.says(/Sweep complete/, sweeps + 1)
    service.child.kill("SIGTERM")
    assert.strictEqual(await service.ended, 0)
    const wrong = await finished(["pause", "--for", "0 seconds"])
    assert.strictEqual(wrong.code, 2)
  })
})

describe("a changed setting", { timeout: 120_000 }, () => {
  it("is judged, shown in the status beside the last sweep, and ended", async () => {
    const wrong = await finished(["set", "GC_INTERVAL", "10"])
    assert.deepInclude(wrong, { code: 2, out: "" })
    const set = await finished(["set", "GC_INTERVAL", "10 minutes", "--for", "2 hours", "--json"])
    assert.deepInclude(JSON.parse(set.out).set, { name: "GC_INTERVAL", value: "10 minutes" })
    const [status, history] = await Promise.all([finished(["status", "--json"]), finished(["history"])])
    const found = Schema.decodeUnknownSync(Status)(JSON.parse(status.out))
    assert.strictEqual(found.overrides[0]?.value, "10 minutes")
    assert.strictEqual(status.code, { ok: 0, attention: 10, broken: 11 }[found.health])
    assert.include(history.out, found.last?.endedAt ?? "no sweep")
    assert.match((await finished(["unset", "GC_INTERVAL"])).out, /^Ended: GC_INTERVAL = 10 minutes, set at /)
  })
})

describe("two collectors with different settings", { timeout: 120_000 }, () => {
  const often = { GC_INTERVAL: "1 second", GC_JITTER: "0 seconds" }

  it("find each other, and neither deletes until one has stopped", async () => {
    const first = artifactGc(["run"], { ...often, GC_GRACE: "2 hours", GC_COLLECTOR_ID: "first" })
    await first.says(/Sweep complete/)
    const other = { ...often, GC_GRACE: "3 hours", GC_COLLECTOR_ID: "second" }
    const second = artifactGc(["run"], other)
    await second.says(/Sweep refused/)
    await first.says(/Sweep refused/)
    const refusals = [first, second].map(
      (run) => logLines(run.err()).find(({ message }) => message.startsWith("Sweep refused"))?.message ?? ""
    )
    assert.include(refusals[0], "Collector second (last sweep ")
    assert.include(
      refusals[0],
      "\n  GC_GRACE (grace): 2h here, 3h there\n  GC_QUARANTINE (quarantine): 2h here, 3h there\n"
    )
    assert.include(refusals[1], "Collector first (last sweep ")
    assert.include(refusals[1], "\n  GC_GRACE (grace): 3h here, 2h there\n")

    const once = await finished(["sweep"], { ...other, GC_COLLECTOR_ID: "third" })
    assert.match(once.out, /^Sweep of .*: refused by the settings guard, nothing was deleted; took/)
    assert.include(once.out, "\nsettings: Collector first (last sweep ")
    assert.strictEqual(once.code, 4)

    // After one has stopped, the other continues at once, and then a third with the settings of the stopped one.
    second.child.kill("SIGTERM")
    assert.strictEqual(await second.ended, 0)
    const completed = [...first.err().matchAll(/Sweep complete/g)].length + 1
    await first.says(/Sweep complete/, completed)
    first.child.kill("SIGTERM")
    assert.strictEqual(await first.ended, 0)
    assert.deepStrictEqual(await query("SELECT id FROM artifact_gc.collectors"), [])
    assert.strictEqual((await finished(["sweep"], other)).code, 0)
    assert.deepStrictEqual(await query("SELECT id FROM artifact_gc.collectors"), [])
  })

  it("continue beside each other if that is allowed, and report it", async () => {
    const first = artifactGc(["run"], { GC_GRACE: "2 hours" })
    await first.says(/Sweep complete/)
    const { code, report } = await swept({ GC_GRACE: "3 hours", GC_MIXED_SETTINGS: "allow" })
    assert.strictEqual(code, 0)
    assert.deepInclude(report.guards[0], { guard: "settings", decision: "allowed" })
    first.child.kill("SIGKILL")
    await first.ended
    // It did not report that it stopped, so it counts until its presence is over.
    assert.strictEqual((await swept({ GC_GRACE: "3 hours" })).code, 4)
  })
})
