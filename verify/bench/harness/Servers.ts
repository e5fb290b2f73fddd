/** The addresses of PostgreSQL and the S3 server, from the variables that the server script sets. */

/** Holds the addresses of both servers. */
export interface Servers {
  readonly databaseUrl: string
  readonly s3: S3Server
}

/** Holds the address of an S3 server and one of its buckets. */
export interface S3Server {
  /** Name of the server, for reports. */
  readonly server: string
  readonly endpoint: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly bucket: string
  /** True if the servers were started for this run and vanish with it, so that no cleanup is needed. */
  readonly isThrowAway: boolean
}

const names = {
  databaseUrl: "REAL_DATABASE_URL",
  endpoint: "REAL_S3_ENDPOINT",
  accessKeyId: "REAL_S3_ACCESS_KEY_ID",
  secretAccessKey: "REAL_S3_SECRET_ACCESS_KEY",
  bucket: "REAL_S3_BUCKET"
} as const

/** The variable that marks servers as started for this run. */
export const throwAway = { ARTIFACT_GC_BENCH_SERVERS: "throw-away" }

/** For a question that needs no servers. */
export const none: Servers = {
  databaseUrl: "",
  s3: {
    server: "none",
    endpoint: "",
    region: "",
    accessKeyId: "",
    secretAccessKey: "",
    bucket: "",
    isThrowAway: true
  }
}

/** Reads the addresses. Returns null if no variable is set, and fails if only some are. */
export const fromEnvironment = (env: NodeJS.ProcessEnv = process.env): Servers | null => {
  const missing = Object.values(names).filter((name) => !env[name])
  if (missing.length === Object.keys(names).length) return null
  const first = missing[0]
  if (first !== undefined) throw new Error(`${first} is missing. Set all REAL_… variables, or none of them.`)
  const value = (name: string) => env[name] ?? ""
  return {
    databaseUrl: value(names.databaseUrl),
    s3: {
      server: env.REAL_S3_SERVER || "unnamed S3 server",
      region: env.REAL_S3_REGION || "us-east-1",
      endpoint: value(names.endpoint),
      accessKeyId: value(names.accessKeyId),
      secretAccessKey: value(names.secretAccessKey),
      bucket: value(names.bucket),
      isThrowAway: env.ARTIFACT_GC_BENCH_SERVERS === throwAway.ARTIFACT_GC_BENCH_SERVERS
    }
  }
}
