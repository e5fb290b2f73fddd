/** Go programs built from pinned modules; among them S3 servers, a second and a third dialect. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { freePorts, Missing, retryStart, run, until, which } from "./processes.mjs"

/** A program of a pinned Go module: `install` builds it into the cache folder, where `binary` finds it. */
export const program = ({ name, module, version }) => {
  const binary = (cache) => join(cache, "bin", `${name}-${version}`)

  const install = async (cache) => {
    if (existsSync(binary(cache))) return
    if (!which("go")) {
      throw new Missing(
        `${name}: building it needs Go 1.25 or newer on PATH; get it from https://go.dev/dl/.`
      )
    }
    mkdirSync(join(cache, "bin"), { recursive: true })
    const folder = mkdtempSync(join(cache, `${name}-`))
    try {
      await run("go", ["install", `${module}@${version}`], { env: { ...process.env, GOBIN: folder } })
      renameSync(join(folder, name), binary(cache))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  return { binary, install }
}

const server = ({ name, module, version, commandLine }) => {
  const { binary, install } = program({ name, module, version })

  const launch = async (group, cache, s3, ready, attempt) => {
    const folder = join(group.folder, `${name}-${attempt}`)
    for (const part of ["data", "versions"]) mkdirSync(join(folder, part), { recursive: true })
    const [port] = await freePorts(1)
    const { args, env } = commandLine(folder, `127.0.0.1:${port}`, s3)
    const daemon = group.daemon(binary(cache), args, {
      cwd: folder,
      env: { ...process.env, ...env },
      logFile: join(folder, "log")
    })
    const endpoint = `http://127.0.0.1:${port}`
    await until(name, daemon, 30_000, () => ready(endpoint))
    return { endpoint, stop: daemon.stop }
  }

  const start = async (group, cache, s3, ready) => {
    if (!existsSync(binary(cache))) {
      throw new Missing(
        `${name} is not installed: run \`ARTIFACT_GC_REAL_S3=${name} node scripts/servers.mjs install\`.`
      )
    }
    return retryStart(group, (attempt) => launch(group, cache, s3, ready, attempt))
  }

  return { name, install, start }
}

export const minio = server({
  name: "minio",
  module: "github.com/minio/minio",
  version: "v0.0.0-20260212201848-7aac2a2c5b7c",
  commandLine: (folder, address, s3) => ({
    args: ["server", "--quiet", "--address", address, join(folder, "data")],
    env: {
      MINIO_ROOT_USER: s3.accessKeyId,
      MINIO_ROOT_PASSWORD: s3.secretAccessKey,
      MINIO_BROWSER: "off",
      MINIO_UPDATE: "off"
    }
  })
})

export const versitygw = server({
  name: "versitygw",
  module: "github.com/versity/versitygw/cmd/versitygw",
  version: "v1.8.0",
  commandLine: (folder, address, s3) => ({
    args: [
      ...["--quiet", "--keep-alive", "--port", address],
      ...["posix", "--versioning-dir", join(folder, "versions"), join(folder, "data")]
    ],
    env: { ROOT_ACCESS_KEY: s3.accessKeyId, ROOT_SECRET_KEY: s3.secretAccessKey }
  })
})
