/** The settings of `serve` that say who may do what, and which of them fit together. */
import { Redacted } from "effect"
import type { Values } from "./settings.ts"

/** Who may do what. The files are read when `serve` starts. */
export interface AccessConfiguration {
  /** Name and password for HTTP basic authentication; undefined without. */
  readonly credentials: { readonly username: string; readonly password: Redacted.Redacted } | undefined
  /** Token that may do everything; undefined without. */
  readonly token: Redacted.Redacted | undefined
  /** Whether clients without credentials may pull. */
  readonly anonymousPull: boolean
  /** Path of the file of users; null without. */
  readonly htpasswd: string | null
  /** Path of the file of rules; null without. */
  readonly rules: string | null
  /** The registry as clients reach it; undefined without. */
  readonly url: string | undefined
  /** The token service; null without. */
  readonly tokenService: {
    readonly realm: string
    readonly service: string
    readonly issuer: string
    /** Path of a file, or a URL. */
    readonly keys: string
  } | null
}

/** Returns the settings of access. Adds a line to `problems` for each mistake. */
export const accessOf = (values: Values, problems: Array<string>): AccessConfiguration => {
  const { registryUsername: username, registryPassword: password, registryToken: token } = values
  problems.push(...credentialProblems(values), ...rulesProblems(values), ...urlProblems(values))
  return {
    credentials: username === null || password === null ? undefined : { username, password },
    token: token ?? undefined,
    anonymousPull: values.registryAnonymousPull,
    htpasswd: values.registryHtpasswd,
    rules: values.registryAccess,
    url: values.registryUrl ?? undefined,
    tokenService: tokenServiceOf(values, problems)
  }
}

/** Returns whether every client that reaches the server may pull, push and delete. */
export const isOpen = ({ credentials, htpasswd, token, tokenService }: AccessConfiguration): boolean =>
  credentials === undefined && token === undefined && htpasswd === null && tokenService === null

const needsLogin = ({ registryHtpasswd, registryToken, registryTokenRealm, registryUsername }: Values) =>
  registryUsername !== null ||
  registryToken !== null ||
  registryHtpasswd !== null ||
  registryTokenRealm !== null

const credentialProblems = (values: Values): ReadonlyArray<string> => {
  const { registryUsername: username, registryPassword: password, registryToken: token } = values
  const problems: Array<string> = []
  if (username !== null && password === null)
    problems.push("REGISTRY_PASSWORD: missing, although REGISTRY_USERNAME is set; set both or neither")
  if (username === null && password !== null)
    problems.push("REGISTRY_USERNAME: missing, although REGISTRY_PASSWORD is set; set both or neither")
  if (username?.includes(":"))
    problems.push("REGISTRY_USERNAME: must not contain a colon, which ends the name in basic authentication")
  if (username === "anonymous" || username === "*")
    problems.push(
      `REGISTRY_USERNAME: must not be ${username}, which has a meaning in the rules; choose another`
    )
  for (const [env, secret] of [
    ["REGISTRY_TOKEN", token],
    ["REGISTRY_PASSWORD", password]
  ] as const) {
    const problem = secret === null ? null : secretProblem(env, secret)
    if (problem !== null) problems.push(problem)
  }
  return problems
}

/** Returns why clients could not send a secret; null if they can. */
export const secretProblem = (env: string, secret: Redacted.Redacted): string | null => {
  const value = Redacted.value(secret)
  if (env === "REGISTRY_TOKEN" && /[\s\p{Cc}]/u.test(value))
    return "REGISTRY_TOKEN: must not contain blanks or line ends, because no header can carry them"
  if (env === "REGISTRY_PASSWORD" && /\p{Cc}/u.test(value))
    return "REGISTRY_PASSWORD: must not contain line ends or other control characters"
  return null
}

const rulesProblems = (values: Values): ReadonlyArray<string> => {
  const problems: Array<string> = []
  if (values.registryAnonymousPull && !needsLogin(values))
    problems.push(
      "REGISTRY_ANONYMOUS_PULL: without REGISTRY_USERNAME, REGISTRY_HTPASSWD or REGISTRY_TOKEN every client may push as well; set one of them"
    )
  if (values.registryAnonymousPull && values.registryAccess !== null)
    problems.push(
      "REGISTRY_ANONYMOUS_PULL: the rules of REGISTRY_ACCESS decide this; unset it, and write there: anonymous pull **"
    )
  if (values.registryAccess !== null && !needsLogin(values))
    problems.push(
      "REGISTRY_ACCESS: no client can say who it is; set REGISTRY_HTPASSWD, or REGISTRY_USERNAME and REGISTRY_PASSWORD"
    )
  return problems
}

const urlProblems = (values: Values): ReadonlyArray<string> => {
  const { registryTokenRealm, registryUrl: url } = values
  if (url === null) return []
  const problems: Array<string> = []
  if (!isHttp(url))
    problems.push("REGISTRY_URL: must be a URL with http or https, such as https://registry.example")
  else if (new URL(url).pathname !== "/")
    problems.push("REGISTRY_URL: must not have a path, because clients look for /v2/ at the root")
  if (!needsLogin(values))
    problems.push(
      "REGISTRY_URL: no client has to log in; set REGISTRY_HTPASSWD, or REGISTRY_USERNAME and REGISTRY_PASSWORD"
    )
  if (registryTokenRealm !== null)
    problems.push(
      "REGISTRY_URL: REGISTRY_TOKEN_REALM sends clients to another token service; set one of the two"
    )
  return problems
}

const tokenServiceOf = (values: Values, problems: Array<string>): AccessConfiguration["tokenService"] => {
  const given = {
    REGISTRY_TOKEN_REALM: values.registryTokenRealm,
    REGISTRY_TOKEN_SERVICE: values.registryTokenService,
    REGISTRY_TOKEN_ISSUER: values.registryTokenIssuer,
    REGISTRY_TOKEN_KEYS: values.registryTokenKeys
  }
  const named = Object.entries(given).flatMap(([name, value]) => (value === null ? [] : [name]))
  if (named.length === 0) return null
  for (const [name, value] of Object.entries(given))
    if (value === null) problems.push(`${name}: missing, although ${named[0]} is set; set all four or none`)
  const { registryTokenKeys: keys, registryTokenRealm: realm } = values
  if (realm !== null && !isHttp(realm))
    problems.push("REGISTRY_TOKEN_REALM: must be a URL with http or https")
  // A host on the way could replace the keys by its own.
  if (keys?.startsWith("http:"))
    problems.push(
      "REGISTRY_TOKEN_KEYS: must be a file or an https URL, because keys over http can be changed on their way"
    )
  return realm === null || keys === null
    ? null
    : { realm, service: values.registryTokenService ?? "", issuer: values.registryTokenIssuer ?? "", keys }
}

const isHttp = (text: string): boolean => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
