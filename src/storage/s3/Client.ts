/** The SDK's client, set up so that this code alone decides about repeats, time limits and logs. */
import { Agent } from "node:https"
import { S3Client } from "@aws-sdk/client-s3"
import { Duration } from "effect"
import { askAgain, type Keys } from "./Credentials.ts"
import { demandDocuments } from "./Documents.ts"
import type { S3Options } from "./Options.ts"

/**
 * Returns a client that logs nothing and limits only the time to connect. It repeats nothing but a request whose key has been
 * replaced.
 */
export const connect = (options: S3Options, keys: Keys, maxConnections: number): S3Client => {
  const { endpoint } = options
  const client = new S3Client({
    region: options.region,
    ...(endpoint === undefined ? {} : { endpoint }),
    forcePathStyle: options.forcePathStyle ?? endpoint !== undefined,
    ...keys,
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
      httpsAgent: httpsAgent(maxConnections, options.tlsCa)
    }
  })
  demandDocuments(client)
  askAgain(client)
  return client
}

/** Node copies the options of the agent for each connection, and so reads the authorities as they are then. */
const httpsAgent = (maxSockets: number, ca: S3Options["tlsCa"]): Agent => {
  const agent = new Agent({ keepAlive: true, maxSockets })
  if (ca !== undefined) Object.defineProperty(agent.options, "ca", { get: ca, enumerable: true })
  return agent
}

const silent = () => undefined
