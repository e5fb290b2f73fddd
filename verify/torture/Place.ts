/** Where the servers are, as environment variables of the program under torture and as layers for whoever checks. */
import { Duration, Layer, Redacted } from "effect"
import * as Postgres from "../../src/database/Postgres.ts"
import * as S3 from "../../src/storage/S3.ts"
import type { S3Place } from "../bench/harness/Servers.ts"

export interface Place {
  readonly databaseUrl: string
  readonly s3: S3Place
}

/** Short, so that requests that are held back outlive it within a second. */
export const requestTimeoutMillis = 1000

export const layers = ({ databaseUrl, s3 }: Place) =>
  Layer.merge(
    Postgres.layer().pipe(
      Layer.provideMerge(Postgres.layerClient({ url: Redacted.make(databaseUrl), maxConnections: 6 }))
    ),
    S3.layer({
      bucket: s3.bucket,
      region: s3.region,
      endpoint: s3.endpoint,
      credentials: {
        accessKeyId: Redacted.make(s3.accessKeyId),
        secretAccessKey: Redacted.make(s3.secretAccessKey)
      },
      requestTimeout: Duration.millis(requestTimeoutMillis),
      // A fault strikes once; more tries would only take their time.
      retries: 1,
      // So that uploads in parts come up with bodies of a few megabytes.
      multipartAboveBytes: 5 * 1024 * 1024
    })
  )
