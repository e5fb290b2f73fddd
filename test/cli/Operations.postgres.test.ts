/** The port for operators of `run` and `serve`, as processes. */
import { readdirSync, readFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { platform } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { buildSingleFile, logLines, type Program, type Run, start } from "../fixtures/cli/Program.ts"
import { eventually } from "../fixtures/Until.ts"

let program: Program
beforeAll(async () => {
  program = await buildSingleFile()
}, 60_000)
afterAll(() => program?.remove())

const run = (name: string, args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  start(process.execPath, [program.path, ...args], { cwd: program.directory(name), env })

const stop = async (process: Run) => {
  process.child.kill("SIGTERM")
  assert.strictEqual(await process.ended, 0, process.err())
}

/** Waits until the port is open, and returns its address. */
const opened = async (process: Run): Promise<string> => {
  await process.says(/metrics and probes at .*\n/)
  const [, url] = /metrics and probes at (http:[\w.:/]+): /.exec(process.err()) ?? assert.fail(process.err())
  return url ?? ""
}

const textOf = async (url: string) => (await fetch(url)).text()

const procFile = (pid: string | number, name: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8")
  } catch {
    return ""
  }
}

/** Returns the command lines of a process and of its children; none on systems without /proc. */
const commandLines = (pid: number | undefined): ReadonlyArray<string> => {
  if (pid === undefined || platform() !== "linux") return []
  const children = readdirSync("/proc").filter(
    (name) => procFile(name, "stat").split(") ")[1]?.split(" ")[1] === `${pid}`
  )
  assert.isNotEmpty(children, "PostgreSQL is a child")
  return [pid, ...children].map((one) => procFile(one, "cmdline"))
}

/** Returns the diagnostic report of Node in a folder, or the part that is written. */
const reportIn = (folder: string): string =>
  readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), "utf8"))
    .join("")

/** Listens on a port, 0 for any. Returns null if another process does. */
const occupy = (port: number) =>
  new Promise<Server | null>((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(null))
    server.listen(port, "127.0.0.1", () => resolve(server))
  })

describe("the port for operators", { timeout: 90_000 }, () => {
  it.concurrent("of run shows metrics and probes while it sweeps", async () => {
    const process = run("run", ["run"], { OPS_PORT: "0" })
    const url = await opened(process)
    await eventually("a sweep is counted", async () =>
      /^artifact_gc_sweeps_total\{outcome="complete"\} [1-9]/m.test(await textOf(`${url}/metrics`))
    )
    const text = await textOf(`${url}/metrics`)
    assert.match(text, /^artifact_gc_phase_deleted_total\{phase="orphans"\} 0$/m)
    assert.match(text, /^artifact_gc_queue_length\{queue="dead_letters"\} 0$/m)
    assert.match(text, /^artifact_gc_build_info\{version="\d+\.\d+\.\d+",/m)
    assert.strictEqual(await textOf(`${url}/livez`), "alive\n")
    assert.strictEqual(await textOf(`${url}/readyz`), "ready\n")
    await stop(process)
  })

  it.concurrent("of serve is beside the registry's own, and shows its requests and no secret, even in a report of Node", async () => {
    const token = "planted-secret"
    const reports = program.directory("reports")
    const process = run("serve", ["serve", "--serve-port", "0"], {
      OPS_PORT: "0",
      REGISTRY_TOKEN: token,
      REGISTRY_USERNAME: "ci",
      REGISTRY_PASSWORD: `${token}-password`,
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
      OTEL_EXPORTER_OTLP_HEADERS: `authorization=${token}`,
      NODE_OPTIONS: `--report-on-signal --report-directory=${reports}`
    })
    const url = await opened(process)
    await process.says(/Serving an OCI registry at .*\n/)
    const [, registry] =
      /Serving an OCI registry at (http:[\w.:/]+)\."/.exec(process.err()) ?? assert.fail(process.err())
    const headers = { authorization: `Bearer ${token}` }
    assert.strictEqual((await fetch(`${registry}/v2/`, { headers })).status, 200)
    assert.strictEqual((await fetch(`${registry}/metrics`)).status, 404)
    assert.strictEqual((await fetch(`${url}/v2/`)).status, 404)
    assert.strictEqual(await textOf(`${registry}/healthz`), "alive\n")
    await eventually("the request is counted", async () =>
      /^artifact_gc_registry_requests_total\{route="\/v2\/",method="GET",status="200"\} 1$/m.test(
        await textOf(`${url}/metrics`)
      )
    )
    const told = [await textOf(`${url}/metrics`), await textOf(`${url}/`), ...commandLines(process.child.pid)]
    assert.isAbove(told.join("").length, 1000)
    process.child.kill("SIGUSR2")
    await eventually("the report is written", async () => reportIn(reports).includes("sharedObjects"))
    told.push(reportIn(reports))
    await stop(process)
    for (const text of [...told, process.out(), process.err()]) assert.notInclude(text, token)
  })

  it.concurrent("that was chosen and is in use ends the program with exit code 2, by name", async () => {
    const server = (await occupy(0)) ?? assert.fail("no free port")
    const address = server.address()
    const port = typeof address === "object" ? address?.port : 0
    const process = run("taken", ["run"], { OPS_PORT: String(port) })
    assert.strictEqual(await process.ended, 2, process.err())
    assert.include(process.err(), `Cannot listen on 127.0.0.1 port ${port} (EADDRINUSE)`)
    assert.include(process.err(), "OPS_PORT=off")
    server.close()
  })

  it.concurrent("that was not chosen and is in use is missing with a warning, and the program works", async () => {
    // If another process has the port, it is in use as well.
    const server = await occupy(9464)
    const process = run("default", ["run"], { OPS_PORT: "" })
    await process.says(/Status page, metrics and probes are off/)
    await process.says(/Sweep complete.*\n/)
    const warnings = logLines(process.err()).filter(({ level }) => level === "WARN")
    assert.match(
      String(warnings[0]?.message),
      /^Status page, metrics and probes are off in this process\. Cannot listen on/
    )
    await stop(process)
    server?.close()
  })
})
