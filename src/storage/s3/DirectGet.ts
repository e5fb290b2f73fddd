/**
 * GetObject without the SDK's middleware, which takes most of the processor time of a small read.
 *
 * The first read is the SDK's, and shows what it sends to this store. Later reads repeat that request with another key, range,
 * time and signature, on the SDK's own connections. They begin only once a signature made here equals the SDK's.
 *
 * Only an ordinary answer is taken directly. The SDK reads every other answer, and every failure, as if it had sent the request.
 * So errors, keys that are replaced and clocks that are corrected stay its own.
 */
import { randomUUID } from "node:crypto"
import { Readable } from "node:stream"
import type { GetObjectCommand, S3Client } from "@aws-sdk/client-s3"
import { Clock } from "effect"
import type { Signer } from "./Bucket.ts"
import { algorithm, encoded, keyOf, scopeOf, signatureOf, timeOf } from "./Signature.ts"

type Handler = S3Client["config"]["requestHandler"]
type Request = Parameters<Handler["handle"]>[0]
type Response = Awaited<ReturnType<Handler["handle"]>>["response"]

/** What a request brought: an answer, or the reason why none arrived. */
export interface Outcome {
  readonly response: Response | null
  readonly failure: unknown
  /** When it was signed, by the corrected clock. */
  readonly signedAt: number
}

/** Reads objects of one bucket. */
export interface DirectGet {
  /** Sends a read. Returns null if the SDK has to send it. */
  readonly send: (key: string, range: string | undefined, signal: AbortSignal) => Promise<Outcome | null>
  /** Learns from the SDK's request, while the SDK sends it. */
  readonly learn: (command: GetObjectCommand, key: string) => void
}

/** Returns the direct reads of a client. */
export const directGet = (client: S3Client): DirectGet => {
  // Null: this store is asked in a way that is not known here.
  let form: Form | null | undefined
  const keys = lastKey()
  return {
    send: async (key, range, abortSignal) => {
      const known = form
      if (known === undefined || known === null || !isPlain(key)) return null
      const credentials = await client.config.credentials().catch(() => null)
      if (credentials === null) return null
      const signedAt = processClock.currentTimeMillisUnsafe() + offsetOf(client)
      const invocation = known.isNumbered ? randomUUID() : undefined
      const varying = { key, range, at: timeOf(signedAt), invocation }
      const request = requestOf(known, credentials, varying, keys)
      return await client.config.requestHandler.handle(request, { abortSignal }).then(
        ({ response }) => ({ response, failure: undefined, signedAt }),
        (failure: unknown) => ({ response: null, failure, signedAt })
      )
    },
    learn: (command, key) => {
      if (form !== undefined || !isPlain(key)) return
      command.middlewareStack.add(
        (next) => async (args) => {
          const credentials = await client.config.credentials()
          form = formOf(args.request as Sent, key, credentials, keys)
          return await next(args)
        },
        // The last step before the network.
        { step: "deserialize", name: "learn", priority: "low" }
      )
    }
  }
}

/** Returns the body of an ordinary answer, which the SDK would only pass on, or null. */
export const bodyOf = ({ response, signedAt }: Outcome, range: string | undefined): Readable | null => {
  if (response === null || response.statusCode !== (range === undefined ? 200 : 206)) return null
  const isLate = Math.abs(Date.parse(response.headers.date ?? "") - signedAt) > clockToleranceMillis
  return !isLate && response.body instanceof Readable ? response.body : null
}

/** The SDK corrects its clock by any answer. Stores refuse a signature of another quarter of an hour. */
const clockToleranceMillis = 60_000

/** Makes the SDK read an outcome instead of sending the command's first request. */
export const answerWith = (command: GetObjectCommand, { failure, response }: Outcome): void => {
  let isAnswered = false
  command.middlewareStack.add(
    (next) => (args) => {
      // It is sent after all if its key was replaced.
      if (isAnswered) return next(args)
      isAnswered = true
      return response === null ? Promise.reject(failure) : Promise.resolve({ response } as never)
    },
    { step: "deserialize", name: "answered", priority: "low" }
  )
}

/** A request of the SDK that is signed. */
interface Sent {
  readonly method: string
  readonly protocol: string
  readonly hostname: string
  readonly port?: number | undefined
  readonly path: string
  readonly query?: Readonly<Record<string, unknown>> | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** What all reads of a store have in common. */
interface Form {
  readonly sent: Sent
  /** The path before the key. */
  readonly before: string
  readonly region: string
  readonly query: string
  /** The headers that each read has. */
  readonly headers: Readonly<Record<string, string>>
  /** Of these, the signed ones. */
  readonly signed: ReadonlyArray<string>
  /** Whether each request has a number of its own. */
  readonly isNumbered: boolean
}

/** What differs from read to read. */
interface Varying {
  readonly key: string
  readonly range: string | undefined
  /** The time, as signatures name it. */
  readonly at: string
  readonly invocation: string | undefined
}

type Credentials = Signer["credentials"]
type KeyOf = (secret: string, scope: string) => Buffer

/** Names that need no encoding and that no rule for paths changes. */
const isPlain = (key: string): boolean => /^[\w-][\w.-]*(?:\/[\w-][\w.-]*)*$/.test(key)

const varies = new Set([
  "authorization",
  "x-amz-date",
  "x-amz-security-token",
  "range",
  "amz-sdk-invocation-id"
])

const authorization = new RegExp(
  `^${algorithm} Credential=[^ ]+/\\d{8}/([^/ ]+)/s3/aws4_request, SignedHeaders=([^ ]+), Signature=`
)

/**
 * Returns the form of a request of the SDK, null if a request that is made here differs, or undefined if the key was replaced
 * meanwhile.
 */
export const formOf = (
  sent: Sent,
  key: string,
  credentials: Credentials,
  keys: KeyOf = keyOf
): Form | null | undefined => {
  const headers = Object.fromEntries(
    Object.entries(sent.headers).map(([name, text]) => [name.toLowerCase(), text])
  )
  const [, region, signed] = authorization.exec(headers.authorization ?? "") ?? []
  const query = canonicalQuery(sent.query ?? {})
  if (region === undefined || signed === undefined || query === null) return null
  if (sent.method !== "GET" || sent.body !== undefined || !sent.path.endsWith(`/${key}`)) return null
  if (!headers.authorization?.includes(`=${credentials.accessKeyId}/`)) return undefined
  if (headers["x-amz-security-token"] !== credentials.sessionToken) return undefined
  const form: Form = {
    sent,
    before: sent.path.slice(0, -key.length),
    region,
    query,
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !varies.has(name))),
    signed: signed.split(";").filter((name) => !varies.has(name)),
    isNumbered: headers["amz-sdk-invocation-id"] !== undefined
  }
  const varying = {
    key,
    range: headers.range,
    at: headers["x-amz-date"] ?? "",
    invocation: headers["amz-sdk-invocation-id"]
  }
  const again = requestOf(form, credentials, varying, keys)
  return again.path === sent.path && again.headers.authorization === headers.authorization ? form : null
}

const requestOf = (
  { before, headers: common, query, region, sent, signed: commonNames }: Form,
  { accessKeyId, secretAccessKey, sessionToken }: Credentials,
  { at, invocation, key, range }: Varying,
  keys: KeyOf
): Request => {
  const path = before + key
  const own: Record<string, string> = { "x-amz-date": at }
  if (range !== undefined) own.range = range
  if (sessionToken !== undefined) own["x-amz-security-token"] = sessionToken
  if (invocation !== undefined) own["amz-sdk-invocation-id"] = invocation
  const headers: Record<string, string> = { ...common, ...own }
  const names = [...commonNames, ...Object.keys(own)].toSorted()
  const signed = names.join(";")
  const lines = names.map((name) => `${name}:${(headers[name] ?? "").trim().replace(/\s+/g, " ")}\n`).join("")
  const scope = scopeOf(at, region)
  const canonical = ["GET", path, query, lines, signed, headers["x-amz-content-sha256"]].join("\n")
  const signature = signatureOf(keys(secretAccessKey, scope), at, scope, canonical)
  headers.authorization = `${algorithm} Credential=${accessKeyId}/${scope}, SignedHeaders=${signed}, Signature=${signature}`
  const { hostname, method, port, protocol } = sent
  return { method, protocol, hostname, port, path, query: sent.query, headers } as Request
}

/** Returns the query as signatures have it, or null if it is of an unknown form. */
const canonicalQuery = (query: Readonly<Record<string, unknown>>): string | null => {
  const pairs = Object.entries(query)
  if (pairs.some(([, value]) => typeof value !== "string")) return null
  return pairs
    .map(([name, value]) => `${encoded(name)}=${encoded(String(value))}`)
    .toSorted()
    .join("&")
}

/** Returns `keyOf` that remembers its last answer: a scope lasts a day. */
const lastKey = (): KeyOf => {
  let last = { secret: "", scope: "", key: keyOf("", "") }
  return (secret, scope) => {
    if (last.secret !== secret || last.scope !== scope) last = { secret, scope, key: keyOf(secret, scope) }
    return last.key
  }
}

/** Signatures are compared with the store's real clock, even if `TestClock` governs decisions. */
const processClock = Clock.Clock.defaultValue()

/** Returns by how much the store's clock is ahead, as the SDK knows it from earlier answers. */
const offsetOf = ({ config }: S3Client): number =>
  "systemClockOffset" in config && typeof config.systemClockOffset === "number" ? config.systemClockOffset : 0
