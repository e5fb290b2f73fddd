/** Where the collector works: the catalogue and the store, and which of the two settings fit together. */
import { type Duration, Redacted } from "effect"
import { type DatabaseTls, databaseTlsOf } from "./DatabaseTls.ts"
import { settings, type Values } from "./settings.ts"

/** The catalogue and the store that the collector works on. */
export type Place =
  | {
      readonly _tag: "Embedded"
      /** Directory of the embedded PostgreSQL and of the objects. */
      readonly directory: string
      /** Whether acknowledged writes survive a power cut. Only the demonstration turns this off. */
      readonly durable: boolean
    }
  | {
      readonly _tag: "External"
      /** URL of the database. It holds a password, and is never printed. */
      readonly databaseUrl: Redacted.Redacted
      /** How connections to the database are encrypted. */
      readonly tls: DatabaseTls
      /** Store of the objects. */
      readonly store: Store
    }

/** The store beside an external catalogue. */
export type Store =
  | {
      readonly _tag: "Files"
      /** Directory of the objects. */
      readonly directory: string
    }
  | {
      readonly _tag: "S3"
      /** Name of the bucket. */
      readonly bucket: string
      /** Region of the bucket. */
      readonly region: string
      /** Address of the server; undefined is AWS. */
      readonly endpoint: string | undefined
      /** Address of the server for clients that are sent there; undefined is `endpoint`. */
      readonly readersEndpoint: string | undefined
      /** Whether requests name the bucket in the path; undefined lets the store decide by the endpoint. */
      readonly forcePathStyle: boolean | undefined
      /** Keys; undefined uses the AWS SDK's own chain. */
      readonly credentials: Credentials | undefined
      /** File of the authorities that may sign the store's certificate; undefined is those that Node knows. */
      readonly tlsCa: string | undefined
      /** Maximum time that a request may stay without an answer. */
      readonly requestTimeout: Duration.Duration
      /** What a delete does in a bucket with versions; undefined refuses such a bucket. */
      readonly versionedDelete: "markers" | "versions" | undefined
    }

/** Keys of the store. */
export interface Credentials {
  readonly accessKeyId: Redacted.Redacted
  readonly secretAccessKey: Redacted.Redacted
  readonly sessionToken?: Redacted.Redacted
}

/**
 * Returns the place, or null if the settings name only half of one. Adds a line to `problems` for each mistake.
 *
 * An embedded, empty catalogue beside a real bucket would make every object in it look like garbage. Half a
 * configuration is therefore refused.
 */
export const placeOf = (values: Values, problems: Array<string>): Place | null => {
  const { databaseUrl, s3Bucket, filesDirectory } = values
  if (s3Bucket !== null && filesDirectory !== null) {
    problems.push("S3_BUCKET: set either S3_BUCKET or FILES_DIRECTORY, not both")
  }
  if (databaseUrl !== null && !namesDatabase(Redacted.value(databaseUrl))) {
    problems.push(
      `DATABASE_URL: not a postgres URL with a host; write ${settings.databaseUrl.form}, special characters percent-encoded`
    )
  }
  const store = storeOf(values, problems)
  if (databaseUrl === null && store === null)
    return { _tag: "Embedded", directory: values.dataDirectory, durable: true }
  if (databaseUrl === null) {
    problems.push(
      "DATABASE_URL: missing, although a store is configured; with an empty catalogue all of its objects would look like garbage"
    )
    return null
  }
  if (store === null) {
    problems.push(
      "S3_BUCKET: missing, although DATABASE_URL is set; name the store with S3_BUCKET or FILES_DIRECTORY"
    )
    return null
  }
  return { _tag: "External", databaseUrl, tls: databaseTlsOf(values, databaseUrl, problems), store }
}

/** Checks the URL before anything connects to it. */
const isUrl = (text: string, protocols: ReadonlyArray<string>): boolean =>
  URL.canParse(text) && protocols.includes(new URL(text).protocol)

/** Checks whether the URL has a user or a password. */
export const hasLogin = (text: string): boolean =>
  URL.canParse(text) && (new URL(text).username !== "" || new URL(text).password !== "")

/** Checks that the URL names a server: a host, or the directory of a socket. */
export const namesDatabase = (text: string): boolean => {
  if (!isUrl(text, ["postgres:", "postgresql:"])) return false
  const url = new URL(text)
  return url.hostname !== "" || url.searchParams.has("host")
}

/** Access points are named by an ARN, which has slashes. */
const isBucketName = (name: string): boolean => name.startsWith("arn:") || !/[/\s\p{Cc}]/u.test(name)

const storeOf = (values: Values, problems: Array<string>): Store | null => {
  const {
    s3AccessKeyId: accessKeyId,
    s3SecretAccessKey: secretAccessKey,
    s3SessionToken: sessionToken
  } = values
  if ((accessKeyId === null) !== (secretAccessKey === null)) {
    problems.push("S3_SECRET_ACCESS_KEY: set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY together, or neither")
  }
  if (values.s3Endpoint !== null && !isUrl(values.s3Endpoint, ["http:", "https:"])) {
    problems.push("S3_ENDPOINT: not an http or https URL; write https://host:port")
  }
  if (values.s3Endpoint !== null && hasLogin(values.s3Endpoint)) {
    problems.push(
      "S3_ENDPOINT: has a user or a password, which logs and clients would see; set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY instead"
    )
  }
  if (values.filesDirectory !== null) return { _tag: "Files", directory: values.filesDirectory }
  if (values.s3Bucket === null) {
    // An operator who names an endpoint or keys means S3, and must not end up on the embedded defaults.
    if (values.s3Endpoint !== null || accessKeyId !== null || sessionToken !== null) {
      problems.push("S3_BUCKET: missing, although S3_ENDPOINT or S3 keys are set")
    }
    return null
  }
  if (values.s3TlsCa !== null && values.s3Endpoint?.startsWith("http:") === true) {
    problems.push(
      "S3_TLS_CA: nothing is verified, because S3_ENDPOINT is http; write https, or unset S3_TLS_CA"
    )
  }
  if (!isBucketName(values.s3Bucket)) {
    problems.push("S3_BUCKET: write the name of the bucket alone, without s3:// and without a path")
  }
  if (sessionToken !== null && accessKeyId === null) {
    problems.push("S3_SESSION_TOKEN: set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY as well")
  }
  return {
    _tag: "S3",
    bucket: values.s3Bucket,
    region: values.s3Region,
    endpoint: values.s3Endpoint ?? undefined,
    readersEndpoint: values.serveRedirectEndpoint ?? undefined,
    forcePathStyle: values.s3ForcePathStyle ?? undefined,
    credentials:
      accessKeyId === null || secretAccessKey === null
        ? undefined
        : { accessKeyId, secretAccessKey, ...(sessionToken === null ? {} : { sessionToken }) },
    tlsCa: values.s3TlsCa ?? undefined,
    requestTimeout: values.s3RequestTimeout,
    versionedDelete: values.s3VersionedDelete ?? undefined
  }
}
