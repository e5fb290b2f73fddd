/** The SDK's client, set up so that this code alone decides about repeats, time limits and logs. */
import { S3Client } from "@aws-sdk/client-s3"
import { Duration, Redacted } from "effect"
import { demandDocuments } from "./Documents.ts"
import type { S3Options } from "./Options.ts"

/** Returns a client that repeats nothing, logs nothing and limits only the time to connect. */
export const connect = (options: S3Options, maxConnections: number): S3Client => {
  const { credentials, endpoint } = options
  const client = new S3Client({
    region: options.region,
    ...(endpoint === undefined ? {} : { endpoint }),
    forcePathStyle: options.forcePathStyle ?? endpoint !== undefined,
    ...(credentials === undefined
      ? {}
      : {
          credentials: {
            accessKeyId: Redacted.value(credentials.accessKeyId),
            secretAccessKey: Redacted.value(credentials.secretAccessKey),
            ...(credentials.sessionToken && { sessionToken: Redacted.value(credentials.sessionToken) })
          }
        }),
    maxAttempts: 1,
    // Otherwise the SDK warns on the console about failures that the store reports as errors.
    logger: { debug: silent, info: silent, warn: silent, error: silent },
    // The default adds checksums, which some stores refuse.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: {
      connectionTimeout: Duration.toMillis(options.connectTimeout ?? Duration.seconds(5)),
      requestTimeout: 0,
      socketTimeout: 0,
      httpAgent: { keepAlive: true, maxSockets: maxConnections },
      httpsAgent: { keepAlive: true, maxSockets: maxConnections }
    }
  })
  demandDocuments(client)
  return client
}

const silent = () => undefined
