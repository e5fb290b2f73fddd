/**
 * Pages of other web sites that may use the registry (CORS), such as a browser's user interface for it. Only listed origins
 * are, exactly as they are listed: their pages act with the password that their user gives, so there is no wildcard.
 */

import type { HttpServerRequest } from "effect/http"
import { HttpServerResponse } from "effect/http"

type RequestHeaders = HttpServerRequest.HttpServerRequest["headers"]

/** Headers of requests that a page may set beside those that are always allowed. */
const requestHeaders = "authorization, accept, content-type, content-range, range, if-match, if-none-match"

/** Headers of responses that a page may read. */
const responseHeaders =
  "docker-content-digest, docker-distribution-api-version, docker-upload-uuid, content-range, etag, link, location, oci-filters-applied, oci-subject, oci-tag, range, retry-after, www-authenticate"

/** Long enough that a page asks once, short enough that a changed setting takes effect soon. */
const preflightSeconds = 600

/** Returns whether a page of the request's origin may use the registry. */
export const isAllowedOrigin = (headers: RequestHeaders, origins: ReadonlySet<string>): boolean =>
  headers.origin !== undefined && origins.has(headers.origin)

/** Returns the headers that let a listed page read the response. Others get none, and every response says that it varies. */
export const sharing = (
  headers: RequestHeaders,
  origins: ReadonlySet<string>
): Readonly<Record<string, string>> => {
  if (origins.size === 0) return {}
  return headers.origin !== undefined && origins.has(headers.origin)
    ? {
        vary: "origin",
        "access-control-allow-origin": headers.origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": responseHeaders
      }
    : { vary: "origin" }
}

/** Responds to OPTIONS with the methods of an address, and to a preflight request of a listed page with what it may send. */
export const optionsResponse = (
  headers: RequestHeaders,
  origins: ReadonlySet<string>,
  methods: ReadonlyArray<string>
): HttpServerResponse.HttpServerResponse => {
  const allow = [...methods, "OPTIONS"].join(", ")
  const isPreflight =
    isAllowedOrigin(headers, origins) && headers["access-control-request-method"] !== undefined
  return HttpServerResponse.empty({
    status: 204,
    headers: {
      allow,
      ...(isPreflight
        ? {
            "access-control-allow-methods": allow,
            "access-control-allow-headers": requestHeaders,
            "access-control-max-age": String(preflightSeconds)
          }
        : {})
    }
  })
}
