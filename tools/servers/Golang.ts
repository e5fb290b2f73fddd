/** Go programs built from pinned modules. Two of them are S3 servers: a second and a third dialect. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../Program.ts"
import type { S3Account } from "./Bucket.ts"
import { freePort, retryStart, run, until, which } from "./Processes.ts"
import type { S3Server } from "./S3Server.ts"

/** A pinned Go module, and what its program is called. */
export interface GoModule {
  readonly name: string
  /** The path of the program's package. */
  readonly module: string
  readonly version: string
  /**
   * All modules of the build as `path version`, for a module that has no go.mod. Without them the build would take the newest
   * versions of today.
   */
  readonly requires?: ReadonlyArray<string>
}

export interface GoProgram {
  /** Returns the path of the program in a cache folder. */
  readonly binary: (cache: string) => string
  /** Builds the program into the cache folder. Does nothing if it is there. */
  readonly install: (cache: string) => Promise<void>
}

/** Builds the program into `folder`. */
const build = async ({ module, name, requires, version }: GoModule, folder: string): Promise<void> => {
  if (requires === undefined) {
    await run("go", ["install", `${module}@${version}`], { env: { ...process.env, GOBIN: folder } })
    return
  }
  const lines = ["module build", "go 1.26.0", "require (", ...requires, ")", ""]
  writeFileSync(join(folder, "go.mod"), lines.join("\n"))
  await run("go", ["build", "-mod=mod", "-o", join(folder, name), module], { cwd: folder })
}

/** Returns a program that is built from a pinned Go module. */
export const program = (goModule: GoModule): GoProgram => {
  const { name, version } = goModule
  const binary = (cache: string) => join(cache, "bin", `${name}-${version}`)

  const install = async (cache: string) => {
    if (existsSync(binary(cache))) return
    if (!which("go")) {
      throw new Missing(
        `${name}: building it needs Go 1.25 or newer on PATH; get it from https://go.dev/dl/.`
      )
    }
    mkdirSync(join(cache, "bin"), { recursive: true })
    const folder = mkdtempSync(join(cache, `${name}-`))
    try {
      await build(goModule, folder)
      renameSync(join(folder, name), binary(cache))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  return { binary, install }
}

interface CommandLine {
  readonly args: ReadonlyArray<string>
  readonly env: NodeJS.ProcessEnv
}

const server = (
  module: GoModule,
  commandLine: (folder: string, address: string, account: S3Account) => CommandLine
): S3Server => {
  const { name } = module
  const { binary, install } = program(module)
  return {
    name,
    install,
    start: async (group, cache, account, ready) => {
      if (!existsSync(binary(cache))) {
        throw new Missing(`${name} is not installed: run \`npm run servers -- install ${name}\` (needs Go).`)
      }
      return retryStart(group, async (attempt) => {
        const folder = join(group.folder, `${name}-${attempt}`)
        for (const part of ["data", "versions"]) mkdirSync(join(folder, part), { recursive: true })
        const address = `127.0.0.1:${await freePort()}`
        const { args, env } = commandLine(folder, address, account)
        const daemon = group.daemon(binary(cache), args, {
          cwd: folder,
          env: { ...process.env, ...env },
          logFile: join(folder, "log")
        })
        const endpoint = `http://${address}`
        await until(name, daemon, 30_000, () => ready(endpoint))
        return { endpoint, stop: daemon.stop }
      })
    }
  }
}

const minioModule: GoModule = {
  name: "minio",
  module: "github.com/minio/minio",
  version: "v0.0.0-20260212201848-7aac2a2c5b7c"
}

/** The program alone, which the compose file's test puts into an image. */
export const minioProgram: GoProgram = program(minioModule)

export const minio: S3Server = server(minioModule, (folder, address, account) => ({
  args: ["server", "--quiet", "--address", address, join(folder, "data")],
  env: {
    MINIO_ROOT_USER: account.accessKeyId,
    MINIO_ROOT_PASSWORD: account.secretAccessKey,
    MINIO_BROWSER: "off",
    MINIO_UPDATE: "off"
  }
}))

export const versitygw: S3Server = server(
  { name: "versitygw", module: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0" },
  (folder, address, account) => ({
    args: [
      ...["--quiet", "--keep-alive", "--port", address],
      ...["posix", "--versioning-dir", join(folder, "versions"), join(folder, "data")]
    ],
    env: { ROOT_ACCESS_KEY: account.accessKeyId, ROOT_SECRET_KEY: account.secretAccessKey }
  })
)
