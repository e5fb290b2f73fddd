/**
 * Which requests are served at all, with any credentials: exactly this address, one host, a body as it was sent, and no page of
 * another web site.
 */
import { IncomingMessage } from "node:http"
import { isIP } from "node:net"
import { Effect } from "effect"
import type { HttpServerRequest } from "effect/http"
import { isAllowedOrigin } from "./CrossOrigin.ts"
import { pathOf } from "./Handler.ts"
import { type Problem, problem } from "./Problem.ts"
import { malformed } from "./Target.ts"

/** Which hosts a request may name. */
export interface AdmissionOptions {
  /**
   * Names by which clients reach the registry, without a port. Other names are refused with 421, addresses never. It keeps a
   * web page from reaching a registry without credentials under a name of its own (DNS rebinding). Default: every name.
   */
  readonly hosts?: ReadonlyArray<string> | undefined
  /**
   * Origins of web pages that may use the registry, such as `https://ui.example`. Their pages may do what their user may.
   * Default: none.
   */
  readonly origins?: ReadonlyArray<string> | undefined
}

/**
 * Returns a check that fails with the response for a request that is not served. `isOpen`: no credentials are needed, so that
 * another site's page could read as well as write.
 */
export const admission = (
  { hosts, origins = [] }: AdmissionOptions,
  isOpen: boolean
): ((request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void, Problem>) => {
  const names = hosts === undefined ? null : new Set(hosts.map((name) => name.toLowerCase()))
  const pages = new Set(origins)
  return (request) =>
    Effect.suspend(() => {
      const refusal =
        ofAddress(request.url) ??
        ofHost(request, names) ??
        ofCoding(request.headers["transfer-encoding"]) ??
        (isOpen || !isRead(request.method) ? ofOrigin(request.headers, pages) : null)
      return refusal === null ? Effect.void : Effect.fail(refusal)
    })
}

const isRead = (method: string): boolean => method === "GET" || method === "HEAD" || method === "OPTIONS"

/** The router ignores case and decodes, but a proxy's rule on `/v2/` must not be passed by under another spelling. */
const ofAddress = (url: string): Problem | null => {
  const path = pathOf(url)
  if (path !== "/v2" && !path.startsWith("/v2/")) return notFound
  return url.includes("%00") ? zero : null
}

const notFound = problem(404, "UNSUPPORTED", "The distribution API is below /v2/, spelled exactly so.")

/** Neither a name nor a tag can contain it, and PostgreSQL refuses it in every text. */
const zero = problem(400, "UNSUPPORTED", "The address contains %00, which no name of the registry contains.")

const ofHost = (
  { headers, source }: HttpServerRequest.HttpServerRequest,
  names: ReadonlySet<string> | null
): Problem | null => {
  if (source instanceof IncomingMessage && hostsIn(source.rawHeaders) > 1) return manyHosts
  // A probe of a proxy may be HTTP/1.0, which has no host. Node refuses later versions without one, and browsers send it.
  if (headers.host === undefined) return null
  const name = hostName(headers.host)
  return names === null || isIP(name) !== 0 || names.has(name) ? null : otherHost
}

/** Node keeps the first of several (RFC 9112, section 3.2: the response must be 400). */
const hostsIn = (rawHeaders: ReadonlyArray<string>): number =>
  rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === "host").length

/** Returns the host without its port, in lower case, an IPv6 address without brackets. */
export const hostName = (host: string): string => {
  const [, name = ""] = /^(\[[^\]]*\]|[^:]*)(?::\d*)?$/.exec(host.trim()) ?? []
  return name.replace(/^\[(.*)\]$/, "$1").toLowerCase()
}

const manyHosts = problem(400, "UNSUPPORTED", "The request names more than one host.")

const otherHost = problem(
  421,
  "DENIED",
  "This registry has no password, so it serves only the names of its own host. Reach it by one of them, or have its operator set SERVE_NAMES or a password."
)

/** RFC 9112, section 6.1: a server that does not understand a transfer coding responds with 501. */
const ofCoding = (coding: string | undefined): Problem | null =>
  coding === undefined || coding.trim().toLowerCase() === "chunked" ? null : otherCoding

const otherCoding = problem(
  501,
  "UNSUPPORTED",
  "The registry decodes no transfer coding but chunked. Nothing was stored; send the body as it is.",
  { headers: { connection: "close" } }
)

/**
 * A browser says from which site's page a request comes. No page of another site has business here: it could fill the store, or
 * delete with the password that the browser remembers. Clients that are no browsers send neither header.
 */
const ofOrigin = (
  headers: HttpServerRequest.HttpServerRequest["headers"],
  pages: ReadonlySet<string>
): Problem | null => {
  if (isAllowedOrigin(headers, pages)) return null
  const site = headers["sec-fetch-site"]
  if (site === "cross-site" || site === "same-site") return otherSite
  // The browser compared both itself. A proxy may have put another name into Host.
  if (site === "same-origin") return null
  const { host, origin } = headers
  return origin === undefined || isOrigin(origin, host ?? "") ? null : otherSite
}

/** Whether a page of the origin asks for its own host. A proxy may name the port that the scheme implies. */
const isOrigin = (origin: string, host: string): boolean => {
  if (!URL.canParse(origin)) return false
  const own = new URL(origin)
  const asked = `${own.protocol}//${host}`
  return URL.canParse(asked) && new URL(asked).host === own.host
}

const otherSite = problem(
  403,
  "DENIED",
  "The registry does not serve pages of other web sites. Nothing was changed. Its operator can allow this one with SERVE_ORIGINS."
)

/**
 * Returns the response for a request to no route of the server. The router leaves a path without one if its percent signs are
 * not well-formed.
 */
export const unrouted = (url: string): Problem => {
  const path = pathOf(url)
  return path.startsWith("/v2/") && !isWellFormed(path) ? malformed : notFound
}

const isWellFormed = (path: string): boolean => {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}
