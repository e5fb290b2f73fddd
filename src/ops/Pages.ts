/** What the port for operators shows, by path. */
import { Effect, Exit } from "effect"
import { HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import { remembered } from "../oci/http/Health.ts"
import { headers } from "./Admission.ts"

/** Returns the response. Never fails. */
export type Page = Effect.Effect<HttpServerResponse.HttpServerResponse>

const text = (content: string, status = 200) => HttpServerResponse.text(content, { status, headers })

/** All metrics of the process, in Prometheus' text format. Reads no database. */
export const metrics: Page = Effect.map(PrometheusMetrics.format(), (content) =>
  HttpServerResponse.text(content, {
    headers,
    contentType: "text/plain; version=0.0.4; charset=utf-8"
  })
)

/** 200 while the process answers. */
export const alive: Page = Effect.succeed(text("alive\n"))

/** Makes a page that is 200 if `ready` succeeded a moment ago, otherwise 503. The reason is logged and not sent. */
export const readiness = (ready: Effect.Effect<void, { readonly message: string }>): Effect.Effect<Page> =>
  Effect.map(
    remembered(ready),
    Effect.map((exit) => (Exit.isSuccess(exit) ? text("ready\n") : text("not ready\n", 503)))
  )
