/** What an operator's probes ask: whether the process lives, and whether it could serve now. Neither needs credentials. */
import { Duration, Effect, Exit, type Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"

/** One who waits longer for database and store cannot serve either. Probes of Kubernetes wait a second unless told otherwise. */
const readyWithin = Duration.seconds(5)

/** So that whoever asks without end costs the database and the store one question a second. */
const rememberFor = Duration.seconds(1)

/**
 * `GET /healthz`: 200 while the process answers. `GET /readyz`: 200 when `ready` succeeded within five seconds, at most a
 * second ago; else 503. Why not is for the log, not for whoever asks.
 */
export const layer = (
  ready: Effect.Effect<void, { readonly message: string }>
): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const look = ready.pipe(
        Effect.timeoutOrElse({
          duration: readyWithin,
          orElse: () => Effect.fail({ message: "Database or store did not answer within 5 seconds." })
        }),
        Effect.tapError(({ message }) => Effect.logWarning(`Not ready: ${message}`)),
        Effect.exit
      )
      const remembered = yield* Effect.cachedWithTTL(look, rememberFor)
      yield* router.add("GET", "/healthz", HttpServerResponse.text("alive\n"))
      yield* router.add(
        "GET",
        "/readyz",
        Effect.map(remembered, (exit) =>
          Exit.isSuccess(exit)
            ? HttpServerResponse.text("ready\n")
            : HttpServerResponse.text("not ready\n", { status: 503 })
        )
      )
    })
  )
