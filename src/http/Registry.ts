/**
 * The OCI distribution API, v1.1, as routes of an `HttpRouter`, for this program's own server and for other apps to mount.
 *
 * It knows names, headers and status codes; what is stored and what may be deleted is decided behind `Uploads` and
 * `Repositories`. Nothing of a push is kept in the process.
 */
import { type Duration, Effect, Layer, type Redacted } from "effect"
import { HttpRouter } from "effect/http"
import { Repositories } from "../registry/Repositories.ts"
import { Uploads } from "../registry/Uploads.ts"

export interface RegistryOptions {
  /** HTTP basic authentication. Default none: everybody may do everything. */
  readonly credentials?: { readonly username: string; readonly password: Redacted.Redacted } | undefined
  /** A bearer token that is accepted too. */
  readonly token?: Redacted.Redacted | undefined
  /** Whether those without credentials may read. Default false. */
  readonly anonymousPull?: boolean | undefined
  /** Longest manifest, in bytes. Default 4 MiB, which distribution-spec v1.1.1 ("Pushing Manifests") asks to be supported. */
  readonly manifestMaxBytes?: number | undefined
  /** Blob bodies received at once; the next ones wait. Default 16: each holds up to about 48 MiB. */
  readonly bodiesMax?: number | undefined
  /** Longest a body may stand still. Default 1 minute. There is no limit for a whole body. */
  readonly idleTimeout?: Duration.Duration | undefined
}

/** The routes below `/v2/`. */
export const layer = (
  _options: RegistryOptions = {}
): Layer.Layer<never, never, HttpRouter.HttpRouter | Uploads | Repositories> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      yield* HttpRouter.HttpRouter
      yield* Uploads
      yield* Repositories
      return yield* Effect.die("not written yet")
    })
  )
