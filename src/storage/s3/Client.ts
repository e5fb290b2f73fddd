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
  const { endpoint, tlsCa } = options
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
      httpsAgent: { keepAlive: true, maxSockets: maxConnections, ...(tlsCa && { ca: tlsCa() }) }
    }
  })
  demandDocuments(client)
  askAgain(client)
  if (tlsCa !== undefined) followAuthorities(client, tlsCa)
  return client
}

/**
 * Makes new connections verify the store by the authorities as they are now. The agent is the client's own: with an agent of the
 * caller it would not wait for the store's permission to send a body.
 */
const followAuthorities = (client: S3Client, ca: () => string): void => {
  const handler = client.config.requestHandler as HttpHandler
  const handle = handler.handle.bind(handler)
  // Requests that do not pass the SDK's middleware end here, too.
  handler.handle = (request, options) => {
    const { httpsAgent } = handler.httpHandlerConfigs?.() ?? {}
    if (httpsAgent instanceof Agent && httpsAgent.options.ca !== ca()) httpsAgent.options.ca = ca()
    return handle(request, options)
  }
}

/** What the SDK's types leave out of its handler. */
interface HttpHandler {
  handle: S3Client["config"]["requestHandler"]["handle"]
  readonly httpHandlerConfigs?: () => { readonly httpsAgent?: unknown }
}

const silent = () => undefined
