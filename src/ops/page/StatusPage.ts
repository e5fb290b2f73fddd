/**
 * The page as a response. Nothing is read until a browser asks. All browsers share one reading, which is at most three
 * seconds old.
 */
import { Duration, Effect, Exit, type Scope } from "effect"
import { HttpServerResponse } from "effect/http"
import type { CollectorDatabase } from "../../database/Database.ts"
import type { RegistryDatabase } from "../../oci/database/RegistryDatabase.ts"
import type { ReadOptions } from "../../status/Read.ts"
import { headers } from "../Admission.ts"
import * as Gather from "./Gather.ts"
import { page, unavailable } from "./Page.ts"
import { policy } from "./Style.ts"

/** What the page shows, and how. */
export interface StatusPageOptions<R> extends ReadOptions<R> {
  /** The version of artifact-gc. */
  readonly version: string
}

/** Returns the page. `refreshes`: whether the browser loads it again by itself. Never fails. */
export type StatusPage = (refreshes: boolean) => Effect.Effect<HttpServerResponse.HttpServerResponse>

const rememberFor = Duration.seconds(3)

/** A browser that waits longer reads that the database did not answer. */
const readWithin = Duration.seconds(10)

/** Makes the page. What it computes in the background ends with the scope. */
export const make = Effect.fnUntraced(function* <R>({
  version,
  ...options
}: StatusPageOptions<R>): Effect.fn.Return<
  StatusPage,
  never,
  Scope.Scope | R | CollectorDatabase | RegistryDatabase
> {
  const context = yield* Effect.context<R | CollectorDatabase | RegistryDatabase>()
  const facts = (yield* Gather.make(options)).pipe(
    Effect.timeout(readWithin),
    Effect.tapCause((cause) =>
      Effect.logWarning(
        "The status page could not read the catalogue and says so. Check that the database answers. The next request reads it again.",
        cause
      )
    ),
    Effect.exit,
    Effect.provide(context)
  )
  const remembered = yield* Effect.cachedWithTTL(facts, rememberFor)
  return (refreshes) =>
    Effect.map(remembered, (exit) => {
      const view = { version, refreshes }
      const isKnown = Exit.isSuccess(exit)
      return HttpServerResponse.text(String(isKnown ? page(exit.value, view) : unavailable(view)), {
        status: isKnown ? 200 : 503,
        contentType: "text/html; charset=utf-8",
        headers: { ...headers, "content-security-policy": policy }
      })
    })
})
