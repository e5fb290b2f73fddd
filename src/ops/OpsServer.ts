/** The port for operators: the status page, metrics and probes of the process. It shows things and changes nothing. */
import { Context, type Duration, Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { type ListenRefused, type ServerTls, serving, urlOf } from "../oci/http/Server.ts"
import { headers, refusalOf } from "./Admission.ts"
import * as ProcessMetrics from "./Metrics.ts"
import * as Pages from "./Pages.ts"
import type { StatusPage } from "./page/StatusPage.ts"

/** Where the port is, and what it shows. */
export interface OpsOptions {
  /** Address on which it listens. */
  readonly host: string
  /** Port on which it listens; 0 is any free port. */
  readonly port: number
  /** Certificate of the port. Default: none, and it speaks http. */
  readonly tls?: ServerTls | undefined
  /** Names that a request may name as its host, beside addresses. */
  readonly hosts: ReadonlyArray<string>
  /** Longest that current requests may take when it stops. */
  readonly shutdownDeadline: Duration.Duration
  /** Succeeds if the process can work. Fails with a message for the log. */
  readonly ready: Effect.Effect<void, { readonly message: string }>
  /** The page at `/`; null for none. */
  readonly page: StatusPage | null
  /** The version of artifact-gc. */
  readonly version: string
}

/**
 * Serves the port until the scope is closed, and returns its address as a URL. Fails with `ListenRefused` if the address
 * cannot be used.
 */
export const serve = Effect.fnUntraced(function* (options: OpsOptions) {
  yield* ProcessMetrics.show(options.version)
  const listening: Layer.Layer<HttpServer.HttpServer, ListenRefused> = serving(
    { ...options, settings: "OPS" },
    routes(options)
  )
  // Fresh, because the registry's server in the same process has a router of its own.
  const context = yield* Layer.build(Layer.fresh(listening))
  return urlOf(Context.get(context, HttpServer.HttpServer).address, options.tls)
})

const routes = ({ hosts, page, ready }: OpsOptions): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const names = new Set(hosts.map((name) => name.toLowerCase()))
      const pages: Readonly<Record<string, Pages.Page>> = {
        "/metrics": Pages.metrics,
        "/livez": Pages.alive,
        "/readyz": yield* Pages.readiness(ready)
      }
      const paths = [...(page === null ? [] : ["/"]), ...Object.keys(pages)]
      const unknown = HttpServerResponse.text(`There is only ${paths.join(", ")}.\n`, {
        status: 404,
        headers
      })
      yield* router.add("*", "/*", (request) => {
        const refusal = refusalOf(request, names)
        if (refusal !== null) return Effect.succeed(refusal)
        const [path = "", query] = request.url.split(/[?#]/, 2)
        if (path === "/" && page !== null) return page(query === "refresh")
        return Object.hasOwn(pages, path) ? (pages[path] as Pages.Page) : Effect.succeed(unknown)
      })
    })
  )
