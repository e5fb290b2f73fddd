/** Where PostgreSQL and the S3 server are: the variables that tools/servers sets. */
export interface Servers {
  readonly databaseUrl: string
  readonly s3: S3Place
}

export interface S3Place {
  /** Its name, for people. */
  readonly server: string
  readonly endpoint: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly bucket: string
  /** They were started for this run and vanish with it, so nothing need be tidied up. */
  readonly isThrowAway: boolean
}

const names = {
  databaseUrl: "REAL_DATABASE_URL",
  endpoint: "REAL_S3_ENDPOINT",
  accessKeyId: "REAL_S3_ACCESS_KEY_ID",
  secretAccessKey: "REAL_S3_SECRET_ACCESS_KEY",
  bucket: "REAL_S3_BUCKET"
} as const

/** Marks servers as started for this run. */
export const ours = { ARTIFACT_GC_BENCH_SERVERS: "throw-away" }

/** Null when no server is named; half a configuration is an error. */
export const fromEnvironment = (env: NodeJS.ProcessEnv = process.env): Servers | null => {
  const missing = Object.values(names).filter((name) => !env[name])
  if (missing.length === Object.keys(names).length) return null
  const first = missing[0]
  if (first !== undefined) throw new Error(`${first} is missing, although other servers are named`)
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
      isThrowAway: env.ARTIFACT_GC_BENCH_SERVERS === ours.ARTIFACT_GC_BENCH_SERVERS
    }
  }
}
