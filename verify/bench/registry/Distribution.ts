/** The CNCF registry (distribution) on the same store, built from its Go module at a pinned version. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { program } from "../../../tools/servers/Golang.ts"
import { freePort } from "../../../tools/servers/Processes.ts"
import { ensure } from "../harness/Question.ts"
import type { S3Server } from "../harness/Servers.ts"

/** Runs as `registry serve CONFIG`. */
const registry = program({
  name: "registry",
  module: "github.com/distribution/distribution/v3/cmd/registry",
  version: "v3.1.2"
})

/** A running distribution. */
export interface Distribution {
  readonly url: string
  readonly child: ChildProcess
  readonly stop: () => Promise<void>
  /** Starts a collection, beside the running registry. */
  readonly collect: () => ChildProcess
}

/** Where programs are kept, as for the servers of the tests. */
const cache = process.env.ARTIFACT_GC_REAL_DIR ?? join(process.cwd(), ".real")

/**
 * Builds distribution if it is not there yet, starts it, and returns it. Returns null, and logs why, on a machine that cannot
 * build it. Redirects are off, so that bytes pass through it as they pass through this registry.
 */
export const start = async (s3: S3Server, log: (text: string) => void): Promise<Distribution | null> => {
  try {
    await registry.install(cache)
  } catch (error) {
    log(`distribution is not measured, because it cannot be built here: ${error}`)
    return null
  }
  const folder = mkdtempSync(join(tmpdir(), "artifact-gc-bench-distribution-"))
  const port = await freePort()
  const file = join(folder, "config.json")
  // YAML includes JSON.
  writeFileSync(file, JSON.stringify(configuration(s3, port)))
  const run = (...args: ReadonlyArray<string>) =>
    spawn(registry.binary(cache), [...args, file], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env.PATH, OTEL_TRACES_EXPORTER: "none" }
    })
  const child = run("serve")
  let errors = ""
  child.stderr.on("data", (text) => {
    errors = `${errors}${text}`.slice(-2000)
  })
  const url = `http://127.0.0.1:${port}`
  const isUp = () =>
    fetch(`${url}/v2/`).then(
      ({ ok }) => ok,
      () => false
    )
  for (let tries = 0; !(await isUp()); tries++) {
    ensure(child.exitCode === null && tries < 300, `distribution does not start:\n${errors}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return {
    url,
    child,
    collect: () => run("garbage-collect", "--delete-untagged"),
    stop: async () => {
      child.kill("SIGTERM")
      await once(child, "exit")
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

const configuration = (s3: S3Server, port: number) => ({
  version: "0.1",
  log: { level: "error", accesslog: { disabled: true } },
  storage: {
    s3: {
      regionendpoint: s3.endpoint,
      forcepathstyle: true,
      secure: false,
      bucket: s3.bucket,
      region: s3.region,
      accesskey: s3.accessKeyId,
      secretkey: s3.secretAccessKey,
      rootdirectory: "/distribution"
    },
    redirect: { disable: true },
    delete: { enabled: true }
  },
  http: { addr: `127.0.0.1:${port}` }
})
