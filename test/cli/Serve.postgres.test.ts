/** `artifact-gc serve` on its embedded database, as a process: the first minute of the README, and how it ends. */
import { stat, writeFile } from "node:fs/promises"
import { type ClientRequest, request } from "node:http"
import { join } from "node:path"
import { Effect, Stream } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Files from "../../src/storage/Files.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { client, digestOf, image } from "../fixtures/cli/Image.ts"
import { build, logLines, type Program, type Run, type RunOptions, start } from "../fixtures/cli/Program.ts"
import { eventually } from "../fixtures/Until.ts"

let program: Program
beforeAll(() => {
  program = build()
}, 60_000)
afterAll(() => program?.remove())

const serve = (cwd: string, args: ReadonlyArray<string> = [], env: RunOptions["env"] = {}) =>
  start(process.execPath, [program.path, "serve", "--serve-port", "0", ...args], { cwd, env })

/** Waits until the server listens, and returns its address. */
const listening = async (run: Run): Promise<string> => {
  await run.says(/Serving an OCI registry at .*\n/)
  const [, url] = /Serving an OCI registry at (http:[\w.:/]+)\."/.exec(run.err()) ?? assert.fail(run.err())
  return url ?? ""
}

const stop = async (run: Run) => {
  run.child.kill("SIGTERM")
  assert.strictEqual(await run.ended, 0, run.err())
}

const messages = (run: Run) => logLines(run.err()).map(({ message }) => message)

const objectsBelow = (cwd: string) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const pages = yield* Stream.runCollect((yield* Storage).list(""))
      return pages.flat().map(({ key }): string => key)
    }).pipe(Effect.provide(Files.layer({ directory: join(cwd, ".artifact-gc/objects"), durable: false })))
  )

/** Waits until the store holds `count` objects: some sweeps, each after the waits above. */
const untilObjects = (cwd: string, count: number) =>
  eventually(`${count} objects are left`, async () => (await objectsBelow(cwd)).length === count, {
    limitMillis: 60_000,
    everyMillis: 100
  })

/** Long enough for a push on a busy machine, short enough to wait for. */
const shortWaits = {
  GC_INTERVAL: "1 second",
  GC_JITTER: "0 seconds",
  GC_GRACE: "2 seconds",
  GC_QUARANTINE: "1 second",
  GC_UNTAGGED_GRACE: "1 second",
  REGISTRY_HOLD: "4 seconds"
}

describe("the registry", { timeout: 90_000 }, () => {
  // Both wait more than they work.
  it.concurrent("accepts an image, serves it after a restart, and frees its space after its tag is deleted", async () => {
    const cwd = program.directory("first-minute")
    const pushed = image("hello")
    const first = serve(cwd, ["--try"], shortWaits)
    await client(await listening(first), "library/hello").push(pushed, "1")
    await stop(first)
    assert.deepStrictEqual(program.processesIn(cwd), [])

    const second = serve(cwd, ["--try"], shortWaits)
    const registry = client(await listening(second), "library/hello")
    assert.deepStrictEqual(await registry.pull("1"), pushed)
    // Three blobs and the manifest, and no staged chunks.
    await untilObjects(cwd, 4)
    await registry.deleteTag("1")
    await untilObjects(cwd, 0)
    assert.strictEqual(await registry.status("manifests/1"), 404)
    assert.strictEqual(await registry.status(`blobs/${digestOf(pushed.blobs[1] ?? "")}`), 404)
    await stop(second)
    assert.deepStrictEqual(messages(second).slice(-1), ["Stopped."])
    assert.isFalse(messages(second).some((message) => /^Sweep (failed|refused)/.test(message)))
    assert.deepStrictEqual(program.processesIn(cwd), [])
  })

  it.concurrent("keeps tagged images even with short waits, and deletes nothing with --no-collect", async () => {
    const cwd = program.directory("no-collect")
    const [kept, dropped] = [image("kept"), image("dropped")]
    const passive = serve(cwd, ["--no-collect"], shortWaits)
    const registry = client(await listening(passive), "r")
    await registry.push(kept, "kept")
    await registry.push(dropped, "dropped")
    await registry.deleteTag("dropped")
    const before = await objectsBelow(cwd)
    const { mode } = await stat(join(cwd, ".artifact-gc/objects"))
    assert.strictEqual(mode & 0o077, 0, "no other user of this host reads images")
    // As long as all waits together; the next process shows that they were over.
    await new Promise((resolve) => setTimeout(resolve, 8000))
    assert.deepStrictEqual(await objectsBelow(cwd), before)
    assert.isTrue(
      messages(passive).some((message) => message.startsWith("This process does not collect garbage."))
    )
    await stop(passive)

    const collecting = serve(cwd, ["--json"], shortWaits)
    const again = client(await listening(collecting), "r")
    await untilObjects(cwd, 4)
    assert.deepStrictEqual(await again.pull("kept"), kept)
    await stop(collecting)
    const reports = collecting.out().trim().split("\n")
    assert.isAtLeast(reports.length, 2)
    for (const report of reports) assert.strictEqual(JSON.parse(report).outcome, "complete", report)
  })

  it.concurrent("removes the tags that its rules keep no longer, as new ones are pushed, and frees their space", async () => {
    const cwd = program.directory("retention")
    const keep = [{ newest: 1, tags: ["build-*"] }, { tags: ["latest"] }]
    await writeFile(
      join(cwd, "retention.json"),
      JSON.stringify({ policies: [{ repositories: ["library/*"], keep }] })
    )
    const rules = { REGISTRY_RETENTION_FILE: "retention.json" }
    // Otherwise the first removal waits for a person.
    const run = serve(cwd, ["--try"], { ...shortWaits, ...rules, GC_BREAKER_PERCENT: "100" })
    const url = await listening(run)
    const registry = client(url, "library/app")
    const images = ["0", "1", "2"].map((n) => image(n))
    for (const [n, pushed] of images.entries()) await registry.push(pushed, `build-${n}`)
    await client(url, "other").push(image("other"), "build-0")
    const [first] = images
    if (first !== undefined) await registry.push(first, "latest")
    // Two images of the one, one of the other: each three blobs and a manifest.
    await untilObjects(cwd, 12)
    for (const [tag, status] of [
      ["build-0", 404],
      ["build-1", 404],
      ["build-2", 200],
      ["latest", 200]
    ] as const)
      assert.strictEqual(await registry.status(`manifests/${tag}`), status, tag)
    assert.deepStrictEqual(await registry.pull("latest"), first)
    await stop(run)
    assert.isTrue(messages(run).some((message) => message.startsWith("Retention rules removed ")))

    const shown = start(process.execPath, [program.path, "retention", "--json"], { cwd, env: rules })
    assert.strictEqual(await shown.ended, 0, shown.err())
    const tags = shown
      .out()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    assert.deepStrictEqual(
      tags.map(({ by, kept, tag }) => [tag, kept, by]),
      [
        ["build-2", true, "newest 1, tags build-*"],
        ["latest", true, "tags latest"]
      ]
    )
    assert.isNotNull(tags.at(-1)?.pulledAt, "the pull was recorded when the process ended")
  })

  /** A chunk of which the server has begun to read, when it is told to stop; `resume` continues the request of the client. */
  const cutIn = (run: Run, url: string, location: string, resume: (patch: ClientRequest) => void) =>
    new Promise<number | string>((resolve) => {
      const headers = { expect: "100-continue" }
      const patch = request(new URL(location, url), { method: "PATCH", headers }, (response) => {
        response.resume().once("end", () => resolve(response.statusCode ?? 0))
      })
      patch.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      patch.flushHeaders()
      patch.once("continue", () => {
        patch.write("first half, ")
        run.child.kill("SIGTERM")
        void run.says(/Stopping: finishing requests under way/).then(() => resume(patch))
      })
    })

  it("lets the request under way end when it is asked to stop, and accepts no other", async () => {
    const run = serve(program.directory("draining"))
    const url = await listening(run)
    const { location } = await client(url, "r").begin()
    const answer = await cutIn(run, url, location, (patch) => patch.end("second half"))
    assert.strictEqual(answer, 202)
    assert.strictEqual(await run.ended, 0)
    assert.strictEqual(messages(run).at(-1), "Stopped.")
  })

  it("interrupts a request that does not end, and the next process continues its upload", async () => {
    const cwd = program.directory("cut")
    const run = serve(cwd, [], { GC_SHUTDOWN_DEADLINE: "1 second" })
    const url = await listening(run)
    const { location } = await client(url, "r").begin()
    const answer = await cutIn(run, url, location, () => undefined)
    assert.include([503, "ECONNRESET"], answer)
    assert.strictEqual(await run.ended, 0)
    const next = serve(cwd)
    const registry = client(await listening(next), "r")
    const patched = await registry.ask("PATCH", location, { body: "all of it" })
    assert.deepStrictEqual([patched.status, patched.headers.get("range")], [202, "0-8"])
    await stop(next)
  })

  it("asks for credentials if they are set, except for its probes", async () => {
    const run = serve(program.directory("secret"), [], {
      REGISTRY_USERNAME: "ci",
      REGISTRY_PASSWORD: "SECRET1",
      REGISTRY_TOKEN: "SECRET2"
    })
    const url = await listening(run)
    const status = (path: string, authorization?: string) =>
      fetch(url + path, authorization === undefined ? {} : { headers: { authorization } }).then(
        (response) => response.status
      )
    assert.strictEqual(await status("/v2/"), 401)
    assert.strictEqual(await status("/v2/", `Basic ${btoa("ci:SECRET1")}`), 200)
    assert.strictEqual(await status("/v2/", "Bearer SECRET2"), 200)
    assert.strictEqual(await status("/v2/", "Bearer SECRET3"), 401)
    assert.strictEqual(await status("/healthz"), 200)
    assert.strictEqual(await status("/readyz"), 200)
    await stop(run)
    assert.notInclude(run.err() + run.out(), "SECRET")
  })

  it("prints the commands to type on stdout with --try", async () => {
    const run = serve(program.directory("told"), ["--try", "--no-collect"])
    const address = new URL(await listening(run)).host
    await stop(run)
    assert.include(run.out(), `\n  docker push ${address}/hello:1\n`)
  })
})

describe("a registry that cannot serve", { timeout: 60_000 }, () => {
  it("because another process has its address exits with 2, and collects nothing", async () => {
    const first = serve(program.directory("first"))
    const url = await listening(first)
    const port = new URL(url).port
    const second = start(process.execPath, [program.path, "serve", "--serve-port", port], {
      cwd: program.directory("second")
    })
    assert.strictEqual(await second.ended, 2)
    assert.match(messages(second).at(-1) ?? "", /^Cannot listen on 127\.0\.0\.1 port \d+ \(EADDRINUSE\): /)
    assert.isFalse(messages(second).some((message) => message.startsWith("Sweep ")))
    await stop(first)
  })

  it("because --try is used with an external catalogue exits with 2", async () => {
    const run = serve(program.directory("own"), ["--try"], {
      DATABASE_URL: "postgres://u:SECRET@h/d",
      S3_BUCKET: "b"
    })
    assert.strictEqual(await run.ended, 2)
    assert.match(messages(run)[0] ?? "", /DATABASE_URL: --try works on the embedded database only/)
    assert.notInclude(run.err(), "SECRET")
  })
})
