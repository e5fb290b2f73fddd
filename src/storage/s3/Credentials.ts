/** The key that signs requests, and how it is replaced while the program runs. */
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3"
import { Effect, Redacted } from "effect"
import type { S3Credentials, S3Options } from "./Options.ts"

/** The options of the SDK's client that name the key. */
export type Keys = Pick<S3ClientConfig, "credentials">

/**
 * Returns the options that name the key. `seen` is told each secret before it is used, so that no error shows it. The chain of the
 * SDK is its default.
 */
export const keysOf = (
  credentials: S3Options["credentials"],
  seen: (secrets: ReadonlyArray<string>) => void
): Keys => {
  // Otherwise the SDK keeps the profiles that it read first, whatever their file says later.
  if (credentials === undefined) return { ignoreCache: true } as Keys
  if (typeof credentials !== "function") return { credentials: plain(credentials, seen) }
  // Without an end the SDK would ask once. One in the past makes it ask for each request.
  const expiration = new Date(0)
  return {
    credentials: async (options) => {
      const isRefused = options?.forceRefresh === true
      return { ...plain(await Effect.runPromise(credentials(isRefused)), seen), expiration }
    }
  }
}

const plain = (
  { accessKeyId, secretAccessKey, sessionToken }: S3Credentials,
  seen: (secrets: ReadonlyArray<string>) => void
) => {
  const key = {
    accessKeyId: Redacted.value(accessKeyId),
    secretAccessKey: Redacted.value(secretAccessKey),
    ...(sessionToken && { sessionToken: Redacted.value(sessionToken) })
  }
  seen(Object.values(key))
  return key
}

/** Codes with which a store says that a key does not count, or does not any more. */
const stale = new Set([
  "ExpiredToken",
  "ExpiredTokenException",
  "InvalidAccessKeyId",
  "InvalidToken",
  "RequestExpired",
  "SignatureDoesNotMatch",
  "TokenRefreshRequired"
])

/**
 * Makes the client ask for its key again after an answer that says that the key does not count, and repeat the request if the
 * key has changed. A request whose body is a stream is not repeated: its bytes are gone.
 */
export const askAgain = (client: S3Client): void => {
  // The types of the SDK do not say that its providers take this option.
  const again = () => client.config.credentials({ forceRefresh: true } as never)
  client.middlewareStack.add(
    (next) => async (args) => {
      const before = await client.config.credentials()
      try {
        return await next(args)
      } catch (error) {
        if (!(error instanceof Error && stale.has(error.name))) throw error
        const after = await again().catch(() => before)
        const isChanged =
          after.accessKeyId !== before.accessKeyId ||
          after.secretAccessKey !== before.secretAccessKey ||
          after.sessionToken !== before.sessionToken
        if (!isChanged || !isRepeatable(args.input)) throw error
        return await next(args)
      }
    },
    { name: "askForKeyAgain", step: "initialize" }
  )
}

const isRepeatable = (input: unknown): boolean => {
  const body = typeof input === "object" && input !== null && "Body" in input ? input.Body : undefined
  return body === undefined || typeof body === "string" || body instanceof Uint8Array
}
