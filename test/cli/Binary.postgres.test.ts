/** The program on its embedded database, as a process. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { Clock, Duration, Effect, Schema, Stream } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as TravelClock from "../../src/cli/demo/TravelClock.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { SweepReport } from "../../src/domain/SweepReport.ts"
import * as Files from "../../src/storage/Files.ts"
import { Storage } from "../../src/storage/Storage.ts"
import {
  build,
  buildSingleFile,
  logLines,
  type Program,
  type RunOptions,
  start
} from "../fixtures/cli/Program.ts"
import { isRunning } from "../fixtures/EmbeddedOwner.ts"

let program: Program
/** The same program as users have it, which takes longer to start. */
let asShipped: Program
/** A directory for the tests that ignore the data of others: the first start takes a second longer. */
let home: string

/** The `main.js` that a group of tests starts. */
let main: string

beforeAll(async () => {
  program = await buildSingleFile()
  asShipped = build()
  home = program.directory("home")
}, 60_000)
afterAll(() => {
  asShipped?.remove()
  program?.remove()
})

const inSingleFile = () =>
  beforeAll(() => {
    main = program.path
  })

const inManyFiles = () =>
  beforeAll(() => {
    main = asShipped.path
  })

const artifactGc = (args: ReadonlyArray<string>, options: Partial<RunOptions> = {}) =>
  start(process.execPath, [main, ...args], { cwd: home, ...options })

const finished = async (args: ReadonlyArray<string>, options: Partial<RunOptions> = {}) => {
  const run = artifactGc(args, options)
  const code = await run.ended
  return { code, out: run.out(), err: run.err() }
}

const decodeReport = Schema.decodeUnknownSync(Schema.fromJsonString(SweepReport))

const inStore = <A, E>(use: Effect.Effect<A, E, Storage>) =>
  Effect.runPromise(
    use.pipe(
      Effect.provide(Files.layer({ directory: join(home, ".artifact-gc/objects"), durable: false })),
      Effect.provideService(Clock.Clock, TravelClock.make(Duration.days(-3)))
    )
  )

/** Uploads that are three days old. */
const stage = (session: string, chunks: number) =>
  inStore(
    Effect.gen(function* () {
      const { put } = yield* Storage
      const keys = Array.from({ length: chunks }, (_, i) => ObjectKey.make(`uploads/${session}/${i}`))
      yield* Effect.forEach(keys, (key) => put(key, Stream.make(new Uint8Array(1000)), 1000))
      return keys
    })
  )

const stored = () =>
  inStore(
    Effect.gen(function* () {
      const pages = yield* Stream.runCollect((yield* Storage).list(""))
      return pages.flat().map(({ key }): string => key)
    })
  )

const postmaster = () =>
  Number(readFileSync(join(home, ".artifact-gc/postgres/data/postmaster.pid"), "utf8").split("\n")[0])

/** Sweeps as often as allowed, because signals can be told apart only during a sweep. */
const often = { GC_INTERVAL: "1 second", GC_JITTER: "0 seconds" }

describe("the program", { timeout: 60_000 }, () => {
  inManyFiles()

  it("prints help and version on stdout", async () => {
    const help = await finished(["--help"])
    assert.include(help.out, "USAGE\n  artifact-gc <command> [flags]")
    assert.deepInclude(help, { code: 0, err: "" })
    assert.deepStrictEqual(await finished(["--version"]), { code: 0, out: "artifact-gc v0.1.0\n", err: "" })
  })

  it("reports a wrong command line on stderr, and exits with 2", async () => {
    const { code, out, err } = await finished(["sweep", "--bogus"])
    assert.include(err, "Unrecognized flag: --bogus in command artifact-gc sweep")
    assert.deepInclude({ code, out }, { code: 2, out: "" })
  })

  it("lists every problem of its settings, exits with 2, and touches nothing", async () => {
    const cwd = program.directory("untouched")
    const { code, out, err } = await finished(["run", "--gc-batch", "0"], {
      cwd,
      env: { GC_BATCH: "7", GC_GRACE: "hunter2", S3_SECRET_ACCESS_KEY: "hunter2", S3_BUCKET: "b" }
    })
    const [line] = logLines(err)
    assert.match(
      line?.message ?? "",
      /GC_GRACE: .*\n {2}GC_BATCH: .*\n {2}S3_SECRET_ACCESS_KEY: .*\n {2}DATABASE_URL: /
    )
    assert.notInclude(err, "hunter2")
    assert.deepInclude({ code, out }, { code: 2, out: "" })
    assert.deepStrictEqual(readdirSync(cwd), [])
  })

  it("reports an unreachable database, exits with 5, and never shows its password", async () => {
    const { code, out, err } = await finished(["sweep", "--log-level", "all", "--files-directory", "files"], {
      cwd: program.directory("unreachable"),
      env: { DATABASE_URL: "postgres://u:SECRET@127.0.0.1:1/x" }
    })
    assert.match(
      logLines(err).at(-1)?.message ?? "",
      /\(Unavailable\): connect ECONNREFUSED 127\.0\.0\.1:1\. Check DATABASE_URL.* This command deleted nothing\.$/
    )
    assert.deepInclude({ code, out }, { code: 5, out: "" })
    assert.notInclude(err, "SECRET")
  })
})

describe("the program on its embedded database", { timeout: 60_000 }, () => {
  inSingleFile()

  it("migrates, names the schemas, and does nothing the second time", async () => {
    const first = await finished(["migrate"])
    assert.match(
      first.out,
      /^Applied 0001_catalogue, .*, 00\d\d_\w+ in schema artifact_gc\.\nApplied 0001_manifests, .*, 0006_judgements in schema artifact_registry\.\n$/
    )
    assert.match(logLines(first.err)[0]?.message ?? "", /^Neither DATABASE_URL nor a store is configured/)
    assert.strictEqual(first.code, 0)
    const second = await finished(["migrate", "--json"])
    assert.deepInclude(second, { code: 0, out: '{"applied":[]}\n' })
  })

  it("sweeps on an empty store, prints a report on stdout, and logs JSON on stderr", async () => {
    const { code, out, err } = await finished(["sweep"])
    assert.match(out, /^Sweep of \d{4}-.*: complete; took .*\n(.*\n)+Left: 0 orphans within grace.*\n$/)
    assert.deepStrictEqual(
      logLines(err).map(({ level }) => level),
      ["INFO"]
    )
    assert.strictEqual(code, 0)
    assert.deepStrictEqual(program.processesIn(home), [])
  })

  it("plans with --dry-run and deletes nothing, then deletes what it planned", async () => {
    const keys = await stage("stale", 3)
    const planned = await finished(["sweep", "--dry-run"])
    assert.match(planned.out, /^Dry run of .*\n.*\nuploads +3 +3 +0 +3\.0 KB\n/)
    for (const key of keys) assert.include(planned.out, `\n  would delete ${key}\n`)
    assert.strictEqual(planned.code, 0)
    assert.deepStrictEqual(await stored(), keys)

    const swept = await finished(["sweep", "--json"])
    const report = decodeReport(swept.out)
    assert.deepInclude(report.totals, { eligible: 3, deleted: 3, bytes: 3000, failed: 0 })
    assert.strictEqual(swept.code, 0)
    assert.notInclude(swept.err, "\u001b")
    assert.deepStrictEqual(await stored(), [])
  })

  it("has no dead letters to list or to put back", async () => {
    const { code, out } = await finished(["journal"])
    assert.deepStrictEqual(
      { code, out },
      { code: 0, out: "0 dead letters, 0 keys journaled, 0 of them due.\n" }
    )
    assert.deepInclude(await finished(["journal", "--retry", "--key", "blobs/x", "--json"]), {
      code: 0,
      out: '{"retried":0}\n'
    })
    assert.deepInclude(await finished(["journal", "--key", "blobs/x"]), { code: 2, out: "" })
  })

  it("refuses a missing catalogue with exit code 4, and names the fix", async () => {
    const { code, out, err } = await finished(["sweep", "--catalog-blobs-table", "nope"])
    assert.match(logLines(err).at(-1)?.message ?? "", /public\.nope: .*\n {4}fix: .*CATALOG_BLOBS_TABLE/)
    assert.deepInclude({ code, out }, { code: 4, out: "" })
  })

  const script = process.platform === "linux" && existsSync("/usr/bin/script")
  it.skipIf(!script)("shows progress on a terminal, and prints only the result on stdout", async () => {
    await stage("watched", 2)
    const command = `'${process.execPath}' '${main}' sweep > result`
    const run = start("script", ["-qec", command, "/dev/null"], { cwd: home })
    assert.strictEqual(await run.ended, 0)
    assert.include(run.out(), "\r\u001b[2Kuploads: 2 seen · 2 deleted · 2.0 KB")
    assert.isTrue(run.out().endsWith("\r\u001b[2K"), "the line is cleared at the end")
    assert.match(readFileSync(join(home, "result"), "utf8"), /^Sweep of .*: complete/)
    assert.notInclude(readFileSync(join(home, "result"), "utf8"), "\u001b")
  })
})

describe("the service", { timeout: 60_000 }, () => {
  inSingleFile()

  it("sweeps until SIGTERM, one report per line, then exits with 0 and ends PostgreSQL", async () => {
    const run = artifactGc(["run", "--json"], { env: often })
    await run.says(/Sweep complete: 0 objects deleted/, 3)
    const pid = postmaster()
    assert.isTrue(isRunning(pid))
    run.child.kill("SIGTERM")
    assert.strictEqual(await run.ended, 0)
    const messages = logLines(run.err()).map(({ message }) => message)
    assert.match(messages[1] ?? "", /^Collecting from embedded postgres below \.artifact-gc and files under/)
    assert.isTrue(messages.some((message) => /^Next sweep at .* \(in 1\.0 s\)\.$/.test(message)))
    assert.deepStrictEqual(messages.slice(-1), ["Stopped."])
    const reports = run
      .out()
      .trimEnd()
      .split("\n")
      .map((line) => decodeReport(line))
    assert.isAtLeast(reports.length, 3)
    assert.isFalse(isRunning(pid))
    assert.deepStrictEqual(program.processesIn(home), [])
  })

  it("is asked and told by commands beside it, which leave it running, and refuses a second service", async () => {
    const run = artifactGc(["run"], { env: { ...often, GC_GRACE: "10 seconds" } })
    await run.says(/Sweep complete/)
    const pid = postmaster()
    const status = await finished(["status", "--json"])
    const { activity, collectors } = JSON.parse(status.out)
    assert.match(activity, /^(waiting|sweeping)$/)
    assert.deepStrictEqual(
      collectors.map(({ id, settings }: { id: string; settings: object }) => [id, settings]),
      [[`${hostname()}/${run.child.pid}`, collectors[0].settings]]
    )
    assert.strictEqual(collectors[0].settings.GC_GRACE, "10s", "the waits of the service, not of the command")
    assert.strictEqual(status.code, 0)
    assert.strictEqual((await finished(["pause", "--reason=test"])).code, 0)
    await run.says(/Collection is paused/)
    assert.strictEqual((await finished(["resume"])).code, 0)
    await run.says(/Collection is resumed/)

    const second = await finished(["run"], { env: often })
    assert.strictEqual(second.code, 5)
    const refusal = logLines(second.err).at(-1)?.message ?? ""
    assert.include(refusal, `Process ${run.child.pid} holds it. `)
    assert.include(refusal, "Nothing was changed.")

    assert.isTrue(isRunning(pid))
    run.child.kill("SIGTERM")
    assert.strictEqual(await run.ended, 0)
    assert.deepStrictEqual(program.processesIn(home), [])
  })

  it("leaves nothing running when it is killed, and the next process starts at once and stops on SIGINT", async () => {
    const killed = artifactGc(["run"], { env: often })
    await killed.says(/Sweep complete/)
    const pid = postmaster()
    killed.child.kill("SIGKILL")
    const next = artifactGc(["run"], { env: often })
    await next.says(/Sweep complete/)
    assert.isFalse(isRunning(pid))
    next.child.kill("SIGINT")
    assert.strictEqual(await next.ended, 0)
    assert.strictEqual(logLines(next.err()).at(-1)?.message, "Stopped.")
    assert.deepStrictEqual(program.processesIn(home), [])
  })

  it("ends with exit code 5 when its PostgreSQL dies, so that the supervisor restarts both", async () => {
    const run = artifactGc(["run"], { env: { GC_INTERVAL: "1 hour" } })
    await run.says(/Next sweep/)
    const pid = postmaster()
    process.kill(pid, "SIGKILL")
    assert.strictEqual(await run.ended, 5)
    assert.include(logLines(run.err()).at(-1)?.message, "(stopped): The server was ended by SIGKILL")
    assert.isFalse(isRunning(pid))
  })
})

describe("the demonstration", { timeout: 60_000 }, () => {
  inManyFiles()

  const tree = () => {
    const cwd = program.directory("demo")
    for (const folder of ["a", "b", "c", "@scope/d"]) {
      mkdirSync(join(cwd, "tree", folder), { recursive: true })
      for (let i = 0; i < 5; i++) writeFileSync(join(cwd, "tree", folder, `own-${i}`), `${folder} ${i}\n`)
      for (let i = 0; i < 5; i++) writeFileSync(join(cwd, "tree", folder, `same-${i}`), `same ${i}\n`)
    }
    return cwd
  }

  it("collects a tree's garbage, reads everything back, and leaves nothing behind, with any settings", async () => {
    const cwd = tree()
    const env = {
      GC_QUARANTINE: "7 days",
      GC_DELETE_DELAY: "1 hour",
      GC_SWEEP_MAX_DELETES: "1",
      GC_UPLOAD_GRACE: "1 second"
    }
    const { code, out, err } = await finished(["demo", "--tree", "tree"], { cwd, env })
    assert.include(out, "\n40 files are 25 different blobs, ")
    assert.match(out, /\nEvery check succeeded\.\n$/)
    assert.deepStrictEqual({ code, err }, { code: 0, err: "" })

    const json = await finished(["demo", "--tree", "tree", "--json"], { cwd })
    const { good, report } = JSON.parse(json.out)
    assert.isTrue(good)
    assert.strictEqual(decodeReport(JSON.stringify(report)).outcome, "complete")
    assert.deepStrictEqual({ code: json.code, err: json.err }, { code: 0, err: "" })

    const missing = await finished(["demo", "--tree", "nowhere"], { cwd })
    assert.match(
      logLines(missing.err)[0]?.message ?? "",
      /^Cannot read .*nowhere: ENOENT.*Name a readable directory with --tree/
    )
    assert.strictEqual(missing.code, 2)

    assert.deepStrictEqual(readdirSync(join(cwd, ".artifact-gc")), [])
    assert.deepStrictEqual(program.processesIn(cwd), [])
  })

  it("refuses an external catalogue", async () => {
    const env = { DATABASE_URL: "postgres://u:SECRET@h/d", S3_BUCKET: "b" }
    const { code, err } = await finished(["demo"], { env })
    assert.match(
      logLines(err)[0]?.message ?? "",
      /DATABASE_URL: the demonstration works on the embedded database only/
    )
    assert.strictEqual(code, 2)
    assert.notInclude(err, "SECRET")
  })
})
