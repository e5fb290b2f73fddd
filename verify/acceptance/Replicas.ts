/** Replicas of this repository's registry, run as its binary, on a database and a bucket of their own. */
import { join } from "node:path"
import { fileAt } from "../../tools/Repository.ts"
import { type Daemon, freePort, type Group, until } from "../../tools/servers/Processes.ts"
import type { Found } from "../../tools/servers/Servers.ts"

/** The program of this repository. */
export const binary = fileAt("dist/main.js")

/** Settings of the binary, as environment variables. */
export type Settings = Readonly<Record<string, string>>

/**
 * The settings by which the binary finds the servers. Nothing else of this process's environment is passed
 * on.
 */
export const environment = ({ databaseUrl, s3 }: Found, settings: Settings): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  DATABASE_URL: databaseUrl,
  S3_BUCKET: s3.bucket,
  S3_ENDPOINT: s3.endpoint,
  S3_REGION: s3.region,
  S3_ACCESS_KEY_ID: s3.accessKeyId,
  S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
  ...settings
})

/** Makes catalogue and registry in an empty database. */
export const migrate = (group: Group, servers: Found): Promise<string> =>
  group.run(process.execPath, [binary, "migrate", "--create-catalog", "--registry"], {
    env: environment(servers, {})
  })

/** A replica that listens. */
export interface Replica {
  readonly url: string
  readonly logFile: string
  readonly daemon: Daemon
}

export interface ReplicaOptions {
  /** Its settings, which may depend on its URL. */
  readonly settings?: Settings | ((url: string) => Settings)
  readonly flags?: ReadonlyArray<string>
  /** Flags of Node. */
  readonly nodeFlags?: ReadonlyArray<string>
  /** The program. Default: this repository's. */
  readonly program?: string
}

/** Starts one replica and waits until a client can push to it. */
export const startReplica = async (
  group: Group,
  servers: Found,
  name: string,
  { settings = {}, flags = [], nodeFlags = [], program = binary }: ReplicaOptions = {}
): Promise<Replica> => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const logFile = join(group.folder, `${name}.log`)
  const args = [...nodeFlags, program, "serve", "--serve-port", String(port), ...flags]
  const daemon = group.daemon(process.execPath, args, {
    env: environment(servers, typeof settings === "function" ? settings(url) : settings),
    logFile,
    stopSignal: "SIGTERM"
  })
  const isUp = () =>
    fetch(`${url}/v2/`).then(
      // A registry with users refuses clients without credentials.
      ({ ok, status }) => ok || status === 401,
      () => false
    )
  await until(name, daemon, 30_000, isUp)
  return { url, logFile, daemon }
}

/** Two replicas. */
export type Pair = readonly [Replica, Replica]

/** Starts two replicas on the same servers. */
export const startPair = async (group: Group, servers: Found, options?: ReplicaOptions): Promise<Pair> =>
  await Promise.all([
    startReplica(group, servers, "first", options),
    startReplica(group, servers, "second", options)
  ])
