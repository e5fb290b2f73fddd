/** The metrics of the registry. Updated once for each request, never for each chunk of a body. */
import { counter, gauge, histogram } from "../domain/DeclaredMetric.ts"

/** The addresses that the registry has, without names of repositories, digests and sessions. */
export const routes = {
  Base: "/v2/",
  Catalog: "/v2/_catalog",
  Tags: "/v2/{name}/tags/list",
  Referrers: "/v2/{name}/referrers/{digest}",
  Blob: "/v2/{name}/blobs/{digest}",
  Uploads: "/v2/{name}/blobs/uploads/",
  Upload: "/v2/{name}/blobs/uploads/{session}",
  Manifest: "/v2/{name}/manifests/{reference}",
  Token: "/token"
} as const

const route = [...Object.values(routes), "other"] as const

/** A route as metrics name it. */
export type Route = (typeof route)[number]

/** The methods that the registry knows. */
export const methods = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "other"] as const

/** Requests that were answered, or not. */
export const requests = counter({
  name: "artifact_gc_registry_requests_total",
  labels: {
    route,
    method: methods,
    status: "the status; `aborted` where the client disconnected before the response"
  },
  help: "Requests to the registry, by route, method and status.",
  look: "5xx that rise: the log has each with its cause. 503 to POST: more bodies arrive than SERVE_BODIES_MAX. A push ends with 201 of a PUT to a session, a session begins with 202 of a POST."
})

/** How long requests take. */
export const requestDuration = histogram({
  name: "artifact_gc_registry_request_duration_seconds",
  unit: "seconds",
  labels: { route, method: methods, status_class: ["1xx", "2xx", "3xx", "4xx", "5xx", "aborted"] },
  boundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
  help: "Duration of requests, until the last byte of the response is sent.",
  look: "Look at HEAD and at manifests: their bodies are small. Blobs and uploads last as long as their clients send or read."
})

/** Requests under way. */
export const requestsInFlight = gauge({
  name: "artifact_gc_registry_requests_in_flight",
  help: "Requests that are being answered.",
  look: "Rises without bodies in hand: database or store are slow."
})

/** Bytes from clients. */
export const receivedBytes = counter({
  name: "artifact_gc_registry_received_bytes_total",
  unit: "bytes",
  labels: { route },
  help: "Bytes that clients sent, with headers. Counted when a request ends; HTTP/1 only.",
  look: "The traffic of pushes."
})

/** Bytes to clients. */
export const sentBytes = counter({
  name: "artifact_gc_registry_sent_bytes_total",
  unit: "bytes",
  labels: { route },
  help: "Bytes that clients were sent, with headers. Counted when a request ends; HTTP/1 only.",
  look: "The traffic of pulls."
})

/** Bodies of blobs. */
export const bodies = gauge({
  name: "artifact_gc_registry_bodies",
  labels: { state: ["in_hand", "waiting", "overtaken"] },
  help: "Bodies of blobs that are being received, those that wait for their first place, and those that lost theirs because their client was slow.",
  look: "`in_hand` at SERVE_BODIES_MAX and `waiting` above 0 for long: raise the limit and the memory, or add a replica. As many waiting as places: new uploads wait, and get 503 after 30 seconds. Many `overtaken`: slow or hostile clients."
})

/** Downloads. */
export const readers = gauge({
  name: "artifact_gc_registry_readers",
  labels: { state: ["in_hand", "waiting", "overtaken"] },
  help: "Downloads that are read from the store, those that wait for their first place, and those that lost theirs because their client was slow.",
  look: "`in_hand` at SERVE_READERS_MAX and `waiting` above 0 for long: the store is too slow for the load; add a replica. Many `overtaken`: slow or hostile clients."
})
