/**
 * Endpoints for an operator's probes: whether the process lives, and whether it can serve. Neither needs
 * credentials.
 */
import { Duration, Effect, Exit, type Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"

/**
 * A replica that waits longer for database and store cannot serve. Kubernetes probes wait one second by
 * default.
 */
const readyWithin = Duration.seconds(5)

/** Bounds the cost of frequent probes to one question a second to database and store. */
const rememberFor = Duration.seconds(1)

/**
 * Makes a question that succeeds if `ready` succeeded within five seconds, at most one second ago. The reason of a failure is
 * logged.
 */
export const remembered = (
  ready: Effect.Effect<void, { readonly message: string }>
): Effect.Effect<Effect.Effect<Exit.Exit<void, { readonly message: string }>>> =>
  Effect.cachedWithTTL(
    ready.pipe(
      Effect.timeoutOrElse({
        duration: readyWithin,
        orElse: () => Effect.fail({ message: "Database or object store did not answer within 5 seconds." })
      }),
      Effect.tapError(({ message }) => Effect.logWarning(`Not ready: ${message}`)),
      Effect.exit
    ),
    rememberFor
  )

/**
 * Adds two routes. `GET /healthz` responds with 200 while the process answers. `GET /readyz` responds with
 * 200 if `ready` succeeded within five seconds, at most one second ago, otherwise with 503. The reason is
 * logged and not sent.
 */
export const layer = (
  ready: Effect.Effect<void, { readonly message: string }>
): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const answered = yield* remembered(ready)
      yield* router.add("GET", "/healthz", HttpServerResponse.text("alive\n"))
      yield* router.add(
        "GET",
        "/readyz",
        Effect.map(answered, (exit) =>
          Exit.isSuccess(exit)
            ? HttpServerResponse.text("ready\n")
            : HttpServerResponse.text("not ready\n", { status: 503 })
        )
      )
    })
  )
