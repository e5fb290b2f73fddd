/** The servers and replicas of a night, and the ways to break them. */
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { createBucket } from "../../tools/servers/Bucket.ts"
import * as Postgres from "../../tools/servers/Postgres.ts"
import { capture, type Daemon, freePort, type Group, type Output } from "../../tools/servers/Processes.ts"
import { cacheFolder, type Found, s3Server } from "../../tools/servers/Servers.ts"
import {
  binary,
  environment,
  migrate,
  type Replica,
  type Settings,
  startReplica
} from "../acceptance/Replicas.ts"
import * as S3Proxy from "../torture/S3Proxy.ts"
import type { Places } from "./Views.ts"

/** Longer than REGISTRY_HOLD. */
export const holdMillis = 22_000

/** Waits of seconds instead of hours. */
const settings: Settings = {
  GC_LOG_FORMAT: "json",
  GC_INTERVAL: "4 seconds",
  GC_JITTER: "1 second",
  GC_GRACE: "3 seconds",
  GC_QUARANTINE: "3 seconds",
  GC_UNTAGGED_GRACE: "6 seconds",
  GC_UPLOAD_GRACE: "45 seconds",
  GC_LEFTOVER_EVERY: "30 seconds",
  GC_LEFTOVER_GRACE: "45 seconds",
  GC_LEASE: "30 seconds",
  GC_BACKOFF_BASE: "1 second",
  GC_BACKOFF_CAP: "5 seconds",
  GC_BREAKER_BLOBS: "20",
  S3_REQUEST_TIMEOUT: "5 seconds",
  REGISTRY_HOLD: "20 seconds",
  REGISTRY_UPLOAD_LEASE: "12 seconds",
  SERVE_IDLE_TIMEOUT: "10 seconds"
}

/** How the store behaves. */
export type StoreMode = "well" | "cut" | "hung" | "full"

const writes = new Set([
  "PutObject",
  "CopyObject",
  "CreateMultipartUpload",
  "UploadPart",
  "CompleteMultipartUpload"
])

/** The servers and replicas. */
export interface World {
  readonly servers: Found
  readonly replicas: ReadonlyArray<Replica>
  readonly places: Places
  readonly database: Postgres.StartedPostgres
  /** Changes how the store behaves. A store that was hung executes then what it was asked. */
  readonly store: (mode: StoreMode) => Promise<void>
  /** Runs a command of the program to its end. */
  readonly command: (...args: ReadonlyArray<string>) => Promise<Output>
  /** Starts a collector of its own with further settings. */
  readonly collector: (name: string, further: Settings) => Daemon
}

/** Starts PostgreSQL, a store behind a proxy, and three replicas of `serve`, each with its collector and its page. */
export const start = async (group: Group): Promise<World> => {
  const account = {
    region: "us-east-1",
    accessKeyId: `TEST${randomBytes(8).toString("hex").toUpperCase()}`,
    secretAccessKey: randomBytes(20).toString("hex"),
    bucket: "artifact-gc-night"
  }
  const server = s3Server()
  const [database, { endpoint: behind }] = await Promise.all([
    Postgres.start(group, cacheFolder(), { fsync: true }),
    server.start(group, cacheFolder(), account, (endpoint) => createBucket({ ...account, endpoint }))
  ])
  let mode: StoreMode = "well"
  const proxy = await S3Proxy.start(behind, {
    before: ({ operation }) =>
      mode === "cut"
        ? "refuse"
        : mode === "hung"
          ? "hold"
          : mode === "full" && writes.has(operation)
            ? "full"
            : null,
    after: () => {}
  })
  const servers: Found = {
    databaseUrl: database.url,
    poolerUrl: database.url,
    s3: { server: server.name, endpoint: proxy.endpoint, ...account }
  }
  await migrate(group, servers)
  const ports = [await freePort(), await freePort(), await freePort()]
  const replicas = await Promise.all(
    ports.map((port, n) =>
      startReplica(group, servers, `replica-${n + 1}`, {
        settings: { ...settings, OPS_PORT: String(port) },
        // Full collections tell how much memory is in use.
        nodeFlags: ["--trace-gc"]
      })
    )
  )
  const env = environment(servers, settings)
  return {
    servers,
    replicas,
    database,
    places: { pages: ports.map((port) => `http://127.0.0.1:${port}/`), env },
    store: async (wanted) => {
      mode = wanted
      if (wanted === "well") await proxy.release()
    },
    command: (...args) => capture(process.execPath, [binary, ...args], { env }),
    collector: (name, further) =>
      group.daemon(process.execPath, [binary, "run"], {
        env: { ...env, OPS_PORT: "off", ...further },
        logFile: join(group.folder, `${name}.log`),
        stopSignal: "SIGTERM"
      })
  }
}
