/**
 * Which requests the port for operators answers. It asks for no password, so no web page may read it: neither under a name
 * that the page's own site resolves to this host (DNS rebinding), nor from another site.
 */
import { isIP } from "node:net"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { hostName } from "../oci/http/Admission.ts"

/** No response is a page of another site's, or is kept. */
export const headers = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store"
}

const refused = (status: number, text: string, more: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.text(`${text}\n`, { status, headers: { ...headers, ...more } })

/** Returns the response to a request that is not answered, or null. */
export const refusalOf = (
  request: HttpServerRequest.HttpServerRequest,
  hosts: ReadonlySet<string>
): HttpServerResponse.HttpServerResponse | null => {
  const name = hostName(request.headers.host ?? "")
  if (isIP(name) === 0 && !hosts.has(name)) {
    return refused(
      421,
      "This port has no password, so it serves only the names of its own host. Reach it by its address, or have its operator set OPS_NAMES."
    )
  }
  const site = request.headers["sec-fetch-site"]
  if (site === "cross-site" || site === "same-site") {
    return refused(403, "This port does not serve pages of other web sites.")
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return refused(405, "This port only shows things. It changes nothing.", { allow: "GET, HEAD" })
  }
  return null
}
