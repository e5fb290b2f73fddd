/**
 * An S3 server that {@link install} fetches and {@link start} runs. Three implement it: radosgw, minio,
 * versitygw.
 */
import type { S3Account } from "./Bucket.ts"
import type { Group } from "./Processes.ts"

/** A server that listens. */
export interface StartedS3Server {
  readonly endpoint: string
  readonly stop: () => Promise<void>
}

export interface S3Server {
  readonly name: string
  /** Fetches the server into the cache folder. Does nothing if it is there. */
  readonly install: (cache: string) => Promise<void>
  /** Starts the server and waits until `ready` returns true for its endpoint. */
  readonly start: (
    group: Group,
    cache: string,
    account: S3Account,
    ready: (endpoint: string) => Promise<boolean>
  ) => Promise<StartedS3Server>
}
