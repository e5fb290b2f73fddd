/** Links that the store itself signs for, to which a registry may send clients for a blob's bytes. */
import { Duration, Effect, Option, Result, Stream } from "effect"
import type { Configuration } from "../config/Config.ts"
import { ObjectKey } from "../domain/ObjectKey.ts"
import { Storage } from "../storage/Storage.ts"
import type { Check } from "./Check.ts"
import { type Found, ok } from "./Finding.ts"

/** Longer than a request takes, and too short to be of use to another. */
const life = Duration.minutes(1)

/** Returns the status of the answer to a GET of the first byte. Nothing of the link is in a failure: it is a credential. */
const statusOf = (link: string) =>
  Effect.tryPromise({
    try: async (signal) => {
      const answer = await fetch(link, { headers: { range: "bytes=0-0" }, redirect: "manual", signal })
      await answer.body?.cancel()
      return answer.status
    },
    catch: (cause) => causeOf(cause)
  })

const causeOf = (error: unknown): string => {
  const cause = error instanceof Error ? error.cause : undefined
  return typeof cause === "object" && cause !== null && "code" in cause
    ? String(cause.code)
    : "the request failed"
}

const refused = (seen: string, isUsed: boolean): Found => ({
  severity: isUsed ? "problem" : "note",
  title: "A signed link does not work",
  seen: `${seen} Clients that SERVE_REDIRECT sends to the store fail in the same way. Sweeps need no link.`,
  fix: isUsed ? "SERVE_REDIRECT=off" : null
})

/** Returns the check of signed links. */
export const presigned = (configuration: Configuration): Check<Storage> => ({
  name: "presigned",
  about: "A signed link to an object is accepted by the store, from this host.",
  docs: "docs/operations.md#the-registry",
  run: Effect.gen(function* () {
    const isUsed = configuration.serve.redirect !== null
    const { list, presign } = yield* Storage
    if (presign === undefined) return [ok("The store signs no links", "The registry sends the bytes itself.")]
    const { blobPrefix } = configuration.sweep
    const page = yield* Stream.runHead(Stream.filter(list(blobPrefix), (page) => page.length > 0))
    const object = Option.getOrUndefined(page)?.[0]
    // A store looks at the signature first, and then says that the object is absent.
    const link = yield* presign(
      object?.key ?? ObjectKey.make(`${blobPrefix}artifact-gc-doctor-probe-absent`),
      life
    )
    const host = URL.canParse(link) ? new URL(link).host : "the store"
    const status = yield* Effect.result(statusOf(link))
    if (Result.isFailure(status)) {
      return [refused(`${host} cannot be reached from this host: ${status.failure}.`, isUsed)]
    }
    return [200, 206, 404, 416].includes(status.success)
      ? [ok("A signed link works", `${host} answered ${status.success}.`)]
      : [refused(`${host} answered ${status.success}.`, isUsed)]
  })
})
