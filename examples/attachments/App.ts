/**
 * Files that are attached to tickets, over HTTP. The app has a table of its own, whose foreign key keeps the blobs. The
 * collector runs inside the app and deletes the bytes that no attachment needs.
 */
import { BlobStore, CatalogNames, Collector, Digest, Postgres, Sweep, type SweepReport } from "artifact-gc"
import { Effect, Layer, Option } from "effect"
import { HttpRouter, type HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import { SqlClient } from "effect/sql"

/** Creates the tables of the package, and the app's own beside them. Safe to repeat. */
const tables = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* Postgres.migrate(CatalogNames.defaultNames, { createCatalog: "blobs" })
    yield* sql`CREATE TABLE IF NOT EXISTS attachments (
      ticket text, name text, media_type text NOT NULL, size_bytes bigint NOT NULL,
      digest text COLLATE "C" NOT NULL REFERENCES blobs (digest), PRIMARY KEY (ticket, name))`
    yield* sql`CREATE INDEX IF NOT EXISTS attachments_digest ON attachments (digest)`
  })
)

/** Row and bytes are committed together: there is no attachment without its bytes, and no pin to release. */
const upload = Effect.gen(function* () {
  const { ticket, name } = yield* HttpRouter.params
  const request = yield* HttpServerRequest.HttpServerRequest
  const sql = yield* SqlClient.SqlClient
  const blobs = yield* BlobStore.BlobStore
  const media_type = request.headers["content-type"] ?? "application/octet-stream"
  const { digest, sizeBytes } = yield* blobs.put(request.stream, {
    commit: ({ digest, sizeBytes }) => sql`
      INSERT INTO attachments ${sql.insert({ ticket, name, media_type, size_bytes: BigInt(sizeBytes), digest })}
      ON CONFLICT (ticket, name) DO UPDATE SET media_type = EXCLUDED.media_type,
        size_bytes = EXCLUDED.size_bytes, digest = EXCLUDED.digest`
  })
  return yield* HttpServerResponse.json({ digest, sizeBytes }, { status: 201 })
})

const find = Effect.gen(function* () {
  const { ticket, name } = yield* HttpRouter.params
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ digest: string; media_type: string; size_bytes: number }>`
    SELECT digest, media_type, size_bytes::float8 AS size_bytes FROM attachments
    WHERE ticket = ${ticket} AND name = ${name}`
  return Option.fromUndefinedOr(rows[0])
})

/** Returns the range of bytes that a header asks for; none asks for all, and the rest of RFC 9110 is left out. */
const rangeOf = (header: string | undefined, size: number) => {
  const [, from = "", to = ""] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? []
  if (from === "" && to === "") return null
  const start = from === "" ? Math.max(0, size - Number(to)) : Number(from)
  const end = from === "" || to === "" ? size - 1 : Math.min(Number(to), size - 1)
  return { start, end }
}

const download = Effect.gen(function* () {
  const found = yield* find
  if (Option.isNone(found)) return HttpServerResponse.empty({ status: 404 })
  const { digest, media_type, size_bytes: size } = found.value
  const { headers } = yield* HttpServerRequest.HttpServerRequest
  const range = rangeOf(headers.range, size)
  const { open } = yield* BlobStore.BlobStore
  const of = Digest.Digest.make(digest)
  const common = { contentType: media_type, headers: { "accept-ranges": "bytes", etag: `"${digest}"` } }
  if (range === null) return HttpServerResponse.stream(open(of), { ...common, contentLength: size })
  const { end, start } = range
  const contentRange = start > end ? `bytes */${size}` : `bytes ${start}-${end}/${size}`
  const partial = { ...common, headers: { ...common.headers, "content-range": contentRange } }
  return start > end
    ? HttpServerResponse.empty({ status: 416, headers: partial.headers })
    : HttpServerResponse.stream(open(of, range), { ...partial, status: 206, contentLength: end - start + 1 })
})

/** The row is all that is deleted here. */
const remove = Effect.gen(function* () {
  const { ticket, name } = yield* HttpRouter.params
  const sql = yield* SqlClient.SqlClient
  const gone =
    yield* sql`DELETE FROM attachments WHERE ticket = ${ticket} AND name = ${name} RETURNING 1 AS gone`
  return HttpServerResponse.empty({ status: gone.length === 0 ? 404 : 204 })
})

/** A sweep never fails: what failed or was refused is in its report, and this app logs it. */
const tell = ({ guards, outcome, totals }: SweepReport.SweepReport) =>
  outcome === "complete" || outcome === "bounded"
    ? Effect.logDebug(`sweep ${outcome}`, totals)
    : Effect.logError(`sweep ${outcome}`, totals, ...guards.map(({ message }) => message))

const path = "/tickets/:ticket/:name"

const routes = Layer.mergeAll(
  HttpRouter.add("PUT", path, upload),
  HttpRouter.add("GET", path, download),
  HttpRouter.add("DELETE", path, remove),
  PrometheusMetrics.layerHttp()
)

/**
 * Serves attachments, and sweeps every hour. Needs a PostgreSQL client and a store. The server is built after everything
 * else, because it listens from then on: a request that precedes the routes would never be answered.
 */
export const layer = <E, R>(server: Layer.Layer<HttpServer.HttpServer, E, R>) =>
  Layer.mergeAll(
    HttpRouter.serve(routes).pipe(Layer.provide(server)),
    Collector.layer({ every: "1 hour", onReport: tell }).pipe(Layer.provide(Sweep.Sweep.layer()))
  ).pipe(Layer.provide(BlobStore.BlobStore.layer()), Layer.provide(Postgres.layer()), Layer.provide(tables))
