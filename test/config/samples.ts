/** A value for every setting, and its place in the configuration. */
import { Cron, Duration, Redacted } from "effect"
import type { Configuration } from "../../src/config/Config.ts"
import type { settings } from "../../src/config/settings.ts"

export interface Sample {
  readonly value: string
  /** Another value, which must not appear. */
  readonly other: string
  readonly of: (config: Configuration) => unknown
  readonly expected: unknown
  /** Other settings that the value needs to have an effect; undefined ones are left out. */
  readonly beside: Readonly<Record<string, string | undefined>>
}

const s3 = ({ place }: Configuration) =>
  place._tag === "External" && place.store._tag === "S3" ? place.store : undefined

const databaseTls = ({ place }: Configuration) => (place._tag === "External" ? place.tls : undefined)

const millis = (duration: Duration.Duration | undefined) => duration && Duration.toMillis(duration)

const revealed = (secret: Redacted.Redacted | undefined) => secret && Redacted.value(secret)

/** Returns the first time of the schedule in July, which is summer time in Berlin. */
const firstOfJuly = ({ when }: Configuration) =>
  when._tag === "cron" && Cron.next(when.cron, new Date("2026-07-01T00:00:00Z")).toISOString()

const redirecting = { S3_BUCKET: "b", DATABASE_URL: "postgres://h/d", GC_DELETE_DELAY: "1 hour" }

const sampled = (
  value: string,
  other: string,
  expected: unknown,
  of: Sample["of"],
  beside: Sample["beside"] = {}
): Sample => ({ value, other, of, expected, beside })

/** For each setting: a value, another value, and the place of the first. */
export const samples: Record<keyof typeof settings, Sample> = {
  databaseUrl: sampled("postgres://a:b@c/d", "postgres://e/f", "postgres://a:b@c/d", (c) =>
    c.place._tag === "External" ? revealed(c.place.databaseUrl) : undefined
  ),
  databaseTlsCa: sampled("/ca", "/x", "/ca", (c) => databaseTls(c)?.ca),
  databaseTlsCert: sampled("/cert", "/x", "/cert", (c) => databaseTls(c)?.cert, { DATABASE_TLS_KEY: "/key" }),
  databaseTlsKey: sampled("/key", "/x", "/key", (c) => databaseTls(c)?.key, { DATABASE_TLS_CERT: "/cert" }),
  databaseMaxConnections: sampled("7", "8", 7, (c) => c.database.maxConnections),
  databaseStatementTimeout: sampled("7 seconds", "8 seconds", 7000, (c) =>
    millis(c.database.statementTimeout)
  ),
  databaseLockTimeout: sampled("70 millis", "80 millis", 70, (c) => millis(c.database.lockTimeout)),
  catalogSchema: sampled("Odd name", "x", "Odd name", (c) => c.names.schema),
  catalogBlobsTable: sampled("layers", "x", "layers", (c) => c.names.blobsTable),
  catalogDigestColumn: sampled("sha", "x", "sha", (c) => c.names.digestColumn),
  catalogKeyColumn: sampled("k", "x", "k", (c) => c.names.keyColumn),
  catalogSizeColumn: sampled("n", "x", "n", (c) => c.names.sizeColumn),
  catalogCreatedAtColumn: sampled("born", "x", "born", (c) => c.names.createdAtColumn),
  catalogLastUsedAtColumn: sampled("none", "x", null, (c) => c.names.lastUsedAtColumn),
  catalogNotReferences: sampled(
    "users.hash, audit.log.digest",
    "a.b",
    ["users.hash", "audit.log.digest"],
    (c) => [...(c.names.notReferences ?? [])]
  ),
  catalogTimeZone: sampled("Asia/Tokyo", "UTC", "Asia/Tokyo", (c) => c.names.timeZone),
  collectorSchema: sampled("gc", "y", "gc", (c) => c.names.collectorSchema),
  registrySchema: sampled("oci", "x", "oci", (c) => c.names.registrySchema),
  s3Bucket: sampled("one", "two", "one", (c) => s3(c)?.bucket),
  s3Endpoint: sampled("https://one", "https://two", "https://one", (c) => s3(c)?.endpoint),
  s3ForcePathStyle: sampled("false", "true", false, (c) => s3(c)?.forcePathStyle),
  s3Region: sampled("eu-central-1", "x", "eu-central-1", (c) => s3(c)?.region),
  s3AccessKeyId: sampled("id", "x", "id", (c) => revealed(s3(c)?.credentials?.accessKeyId), {
    S3_SECRET_ACCESS_KEY: "s"
  }),
  s3SecretAccessKey: sampled("s", "x", "s", (c) => revealed(s3(c)?.credentials?.secretAccessKey), {
    S3_ACCESS_KEY_ID: "id"
  }),
  s3SessionToken: sampled("t", "x", "t", (c) => revealed(s3(c)?.credentials?.sessionToken), {
    S3_ACCESS_KEY_ID: "id",
    S3_SECRET_ACCESS_KEY: "s"
  }),
  s3TlsCa: sampled("/ca", "/x", "/ca", (c) => s3(c)?.tlsCa),
  s3RequestTimeout: sampled("7 seconds", "8 seconds", 7000, (c) => millis(s3(c)?.requestTimeout)),
  s3VersionedDelete: sampled("versions", "markers", "versions", (c) => s3(c)?.versionedDelete),
  filesDirectory: sampled(
    "/one",
    "/two",
    "/one",
    ({ place }) => place._tag === "External" && place.store._tag === "Files" && place.store.directory,
    { S3_BUCKET: "" }
  ),
  dataDirectory: sampled(
    "here",
    "there",
    "here",
    ({ place }) => place._tag === "Embedded" && place.directory,
    { DATABASE_URL: undefined, S3_BUCKET: undefined }
  ),
  interval: sampled(
    "7 seconds",
    "8 seconds",
    7000,
    ({ when }) => when._tag === "interval" && millis(when.interval)
  ),
  cron: sampled("30 2 * * *", "0 0 * * *", "2026-07-01T02:30:00.000Z", firstOfJuly),
  window: sampled("22:00-06:00", "01:00-02:00", "2026-07-01T22:00:00.000Z", ({ window }) =>
    window === undefined ? window : Cron.next(window.opens, new Date("2026-07-01T12:00:00Z")).toISOString()
  ),
  timeZone: sampled("Europe/Berlin", "UTC", "2026-07-01T00:30:00.000Z", firstOfJuly, {
    GC_CRON: "30 2 * * *"
  }),
  jitter: sampled("0 seconds", "8 seconds", 0, (c) => millis(c.jitter)),
  shutdownDeadline: sampled("7 seconds", "8 seconds", 7000, (c) => millis(c.shutdownDeadline)),
  grace: sampled("2 hours", "8 seconds", 7_200_000, (c) => millis(c.sweep.grace)),
  quarantine: sampled("0 seconds", "8 seconds", 0, (c) => millis(c.sweep.quarantine)),
  referrers: sampled("with-subject", "keep", "with-subject", (c) => c.sweep.referrers),
  untaggedGrace: sampled("none", "8 seconds", null, (c) => c.sweep.untaggedGrace),
  uploadPrefix: sampled("staged/", "x/", "staged/", (c) => c.sweep.uploadPrefix),
  uploadGrace: sampled("7 days", "8 seconds", 604_800_000, (c) => millis(c.sweep.uploadGrace)),
  leftoverEvery: sampled("7 days", "8 seconds", 604_800_000, (c) => millis(c.sweep.leftoverEvery)),
  leftoverGrace: sampled("0 seconds", "8 seconds", 0, (c) => millis(c.sweep.leftoverGrace)),
  deleteDelay: sampled("7 seconds", "8 seconds", 7000, (c) => millis(c.sweep.deleteDelay)),
  writerPatience: sampled("none", "8 seconds", null, (c) => c.sweep.writerPatience),
  scanEvery: sampled("2 days", "3 days", 172_800_000, (c) => millis(c.sweep.scanEvery)),
  scanPage: sampled("7", "8", 7, (c) => c.sweep.scanPage),
  batchMax: sampled("7", "8", 7, (c) => c.sweep.batchMax),
  deleteConcurrency: sampled("7", "6", 7, (c) => c.sweep.deleteConcurrency),
  keysPerSecondMax: sampled("7", "8", 7, (c) => c.sweep.keysPerSecondMax),
  requestsPerSecondMax: sampled("7", "8", 7, (c) => c.sweep.requestsPerSecondMax),
  maxDeletes: sampled("7", "8", 7, (c) => c.sweep.maxDeletes),
  maxDuration: sampled("7 seconds", "8 seconds", 7000, (c) => millis(c.sweep.maxDuration)),
  history: sampled("70 days", "8 days", 70 * 86_400_000, (c) => millis(c.sweep.history)),
  attemptsMax: sampled("7", "8", 7, (c) => c.sweep.attemptsMax),
  backoffBase: sampled("7 seconds", "8 seconds", 7000, (c) => millis(c.sweep.backoffBase)),
  backoffCap: sampled("7 hours", "8 hours", 25_200_000, (c) => millis(c.sweep.backoffCap)),
  lease: sampled("70 seconds", "80 seconds", 70_000, (c) => millis(c.sweep.lease)),
  blobPrefix: sampled("objects/", "x/", ["objects/", "objects/"], (c) => [c.blobPrefix, c.sweep.blobPrefix]),
  unannouncedWriters: sampled("guarded", "none", "guarded", (c) => c.sweep.unannouncedWriters),
  breakerBlobs: sampled("7", "8", 7, (c) => c.sweep.breakerBlobs),
  breakerPercent: sampled("7", "8", 7, (c) => c.sweep.breakerPercent),
  clockTolerance: sampled("7 seconds", "8 seconds", 7000, (c) => millis(c.sweep.clockTolerance)),
  mixedSettings: sampled("allow", "refuse", "allow", (c) => c.sweep.mixedSettings),
  collectorId: sampled("one", "two", "one", (c) => c.sweep.collectorId),
  presence: sampled("7 hours", "8 hours", 25_200_000, (c) => millis(c.sweep.presence)),
  opsHost: sampled("0.0.0.0", "::1", "0.0.0.0", (c) => c.ops?.host),
  opsPort: sampled("9", "10", 9, (c) => c.ops?.port),
  opsNames: sampled("one.lan, two.lan", "x.lan", ["one.lan", "two.lan"], (c) => c.ops?.hosts.slice(3)),
  opsTlsCert: sampled("/cert", "/x", "/cert", (c) => c.ops?.tls?.cert, { OPS_TLS_KEY: "/key" }),
  opsTlsKey: sampled("/key", "/x", "/key", (c) => c.ops?.tls?.key, { OPS_TLS_CERT: "/cert" }),
  logFormat: sampled("text", "json", "text", (c) => c.logFormat),
  serveHost: sampled("0.0.0.0", "::1", "0.0.0.0", (c) => c.serve.host),
  servePort: sampled("7", "8", 7, (c) => c.serve.port),
  serveTlsCert: sampled("/cert", "/x", "/cert", (c) => c.serve.tls?.cert, { SERVE_TLS_KEY: "/key" }),
  serveTlsKey: sampled("/key", "/x", "/key", (c) => c.serve.tls?.key, { SERVE_TLS_CERT: "/cert" }),
  serveNames: sampled("one.lan, two.lan", "x.lan", ["one.lan", "two.lan"], (c) => c.serve.hosts?.slice(3)),
  serveBodiesMax: sampled("7", "8", 7, (c) => c.serve.bodiesMax),
  serveIdleTimeout: sampled("7 seconds", "8 seconds", 7000, (c) => millis(c.serve.idleTimeout)),
  serveMinimumRate: sampled("7", "8", 7, (c) => c.serve.minimumRate.bytesPerSecond),
  serveMinimumRateWindow: sampled("7 seconds", "8 seconds", 7000, (c) => millis(c.serve.minimumRate.window)),
  serveReadersMax: sampled("7", "8", 7, (c) => c.serve.readersMax),
  serveConnectionsMax: sampled("7", "8", 7, (c) => c.serve.connectionsMax),
  serveOrigins: sampled(
    "https://ui.lan, http://x.lan:81",
    "https://x.lan",
    ["https://ui.lan", "http://x.lan:81"],
    (c) => c.serve.origins
  ),
  serveManifestMax: sampled("7", "8", 7, (c) => c.serve.manifestMaxBytes),
  serveRedirect: sampled("presigned", "off", true, (c) => c.serve.redirect !== null, redirecting),
  serveRedirectLife: sampled("7 minutes", "8 minutes", 420_000, (c) => millis(c.serve.redirect?.life), {
    ...redirecting,
    SERVE_REDIRECT: "presigned"
  }),
  serveRedirectEndpoint: sampled(
    "https://one.lan",
    "https://x.lan",
    "https://one.lan",
    (c) => s3(c)?.readersEndpoint
  ),
  serveRedirectAgents: sampled(
    "docker/, podman/",
    "x/",
    ["docker/", "podman/"],
    (c) => c.serve.redirect?.agents,
    {
      ...redirecting,
      SERVE_REDIRECT: "presigned"
    }
  ),
  registryUsername: sampled("one", "two", "one", (c) => c.serve.access.credentials?.username, {
    REGISTRY_PASSWORD: "p"
  }),
  registryPassword: sampled("p", "x", "p", (c) => revealed(c.serve.access.credentials?.password), {
    REGISTRY_USERNAME: "one"
  }),
  registryToken: sampled("t", "x", "t", (c) => revealed(c.serve.access.token)),
  registryAnonymousPull: sampled("true", "false", true, (c) => c.serve.access.anonymousPull, {
    REGISTRY_TOKEN: "t"
  }),
  retentionFile: sampled("/retention.json", "/x", "/retention.json", (c) => c.retentionFile),
  registryHtpasswd: sampled("/users", "/x", "/users", (c) => c.serve.access.htpasswd),
  registryAccess: sampled("/rules", "/x", "/rules", (c) => c.serve.access.rules, { REGISTRY_TOKEN: "t" }),
  registryUrl: sampled("https://one.lan", "https://x.lan", "https://one.lan", (c) => c.serve.access.url, {
    REGISTRY_TOKEN: "t"
  }),
  registryTokenRealm: sampled(
    "https://auth.lan/token",
    "https://x.lan",
    "https://auth.lan/token",
    (c) => c.serve.access.tokenService?.realm,
    {
      REGISTRY_TOKEN_SERVICE: "r",
      REGISTRY_TOKEN_ISSUER: "i",
      REGISTRY_TOKEN_KEYS: "/keys"
    }
  ),
  registryTokenService: sampled("r", "x", "r", (c) => c.serve.access.tokenService?.service, {
    REGISTRY_TOKEN_REALM: "https://auth.lan",
    REGISTRY_TOKEN_ISSUER: "i",
    REGISTRY_TOKEN_KEYS: "/keys"
  }),
  registryTokenIssuer: sampled("i", "x", "i", (c) => c.serve.access.tokenService?.issuer, {
    REGISTRY_TOKEN_REALM: "https://auth.lan",
    REGISTRY_TOKEN_SERVICE: "r",
    REGISTRY_TOKEN_KEYS: "/keys"
  }),
  registryTokenKeys: sampled("/keys", "/x", "/keys", (c) => c.serve.access.tokenService?.keys, {
    REGISTRY_TOKEN_REALM: "https://auth.lan",
    REGISTRY_TOKEN_SERVICE: "r",
    REGISTRY_TOKEN_ISSUER: "i"
  }),
  registryHold: sampled("7 hours", "8 hours", 25_200_000, (c) => millis(c.serve.hold)),
  registryUploadLease: sampled("7 hours", "8 hours", 25_200_000, (c) => millis(c.serve.uploadLease))
}
