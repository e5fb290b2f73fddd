/** The options of the store on S3. */
import type { Duration, Effect, Redacted } from "effect"
import type { VersionedDelete } from "./Traits.ts"

/** A key of the store. */
export interface S3Credentials {
  /** The public part of the key. */
  readonly accessKeyId: Redacted.Redacted
  /** The secret part of the key. */
  readonly secretAccessKey: Redacted.Redacted
  /** The token of temporary credentials. Default: none. */
  readonly sessionToken?: Redacted.Redacted | undefined
}

/** Configures the store in a bucket. */
export interface S3Options {
  /** The bucket's name. The bucket must exist. */
  readonly bucket: string
  /** The bucket's region. Most stores without regions expect `us-east-1`, which signatures must then name. */
  readonly region: string
  /** The URL of the store. Default: AWS's endpoint for the region. */
  readonly endpoint?: string | undefined
  /**
   * The URL of the store for clients that `presign` sends there, if they do not reach `endpoint`. Default: `endpoint`.
   */
  readonly readersEndpoint?: string | undefined
  /**
   * Whether the bucket is part of the path (`http://host/bucket/key`) and not of the host name. Default with
   * an `endpoint`: true, because few other stores have a DNS name for each bucket. Default without: false,
   * because AWS wants to retire the path style.
   */
  readonly forcePathStyle?: boolean | undefined
  /**
   * The credentials of every request, or a function that is asked for each request, so that they may change. `isRefused` says
   * that the store has refused them. Default: the SDK's chain (environment, profile, web identity, container, instance), which is
   * asked again when the store says that its key does not count any more.
   */
  readonly credentials?: S3Credentials | ((isRefused: boolean) => Effect.Effect<S3Credentials>) | undefined
  /**
   * Returns the certificates, in PEM, of the authorities that may sign the store's certificate. It is asked for each new
   * connection. Default: the authorities that Node knows.
   */
  readonly tlsCa?: (() => string) | undefined
  /**
   * The longest wait for an answer, or for the next bytes of one. Default 30 seconds, because a loaded store
   * needs seconds for a batch of 1000 deletes. Too low: repeats work that the store is still doing. Too high:
   * one dead connection delays a sweep for as long.
   */
  readonly requestTimeout?: Duration.Duration | undefined
  /** The longest wait for a connection. Default 5 seconds: a lost SYN is resent after 1 and 3 seconds. */
  readonly connectTimeout?: Duration.Duration | undefined
  /**
   * The most connections at once, at least 3. Default 50, the SDK's own default. Each takes a file
   * descriptor. Reads of objects take at most three quarters of them, so that short requests always find one.
   * Puts whose body is a stream of 2 MiB and more have as many and a half more, because their bodies may be slow.
   * Too low: requests wait for each other, without a limit, because the store is not the cause.
   */
  readonly maxConnections?: number | undefined
  /**
   * How often a request is repeated. A streamed `put` is never repeated, and a `get` only before its first
   * byte. Default 4, after about 0.2, 0.4, 0.8 and 1.6 seconds. A store that has not recovered by then is
   * left to the next sweep.
   */
  readonly retries?: number | undefined
  /** The time after which no request is repeated. Default 1 minute: two requests without an answer. */
  readonly retryWithin?: Duration.Duration | undefined
  /**
   * The length in bytes above which a body is sent in parts. Default 64 MiB. Below, one request is twice as
   * fast (measured) and a crash leaves nothing. Above, only a failed part is resent. S3 takes at most 5 GiB
   * in one request.
   */
  readonly multipartAboveBytes?: number | undefined
  /**
   * The length in bytes above which an object is copied in parts. Default 5 GiB, S3's limit for one request.
   */
  readonly copyInPartsAboveBytes?: number | undefined
  /**
   * What a delete does in a bucket with versions. `markers` adds delete markers. The bucket's lifecycle frees
   * the bytes later, or they stay. `versions` lists the versions of every key, with one request a key, and
   * deletes them all. That frees the bytes, and nothing can restore them. It also works in a bucket without
   * versions. Default `markers`, because it loses nothing.
   */
  readonly versionedDelete?: VersionedDelete | undefined
}
