/** Opens the port for operators beside the work of `run` and `serve`. */
import { Effect } from "effect"
import type { Configuration } from "../config/Config.ts"
import { type BlobDatabase, CollectorDatabase } from "../database/Database.ts"
import { showZeros } from "../domain/DeclaredMetric.ts"
import type { TlsRefused } from "../domain/TlsRefused.ts"
import type { RegistryDatabase } from "../oci/database/RegistryDatabase.ts"
import type { ListenRefused } from "../oci/http/Server.ts"
import { registryPhases } from "../oci/RegistryPhases.ts"
import { declared } from "../ops/Declared.ts"
import * as OpsServer from "../ops/OpsServer.ts"
import * as StatusPage from "../ops/page/StatusPage.ts"
import { Storage } from "../storage/Storage.ts"
import { serverCertificate } from "./reload/Certificates.ts"
import { reloadingOnHangup } from "./reload/FollowedFiles.ts"
import { version } from "./version.ts"

/** The values of labels that the program knows and the declarations do not. */
const known = { phase: [...new Set(registryPhases.map(({ name }) => name))] }

/**
 * Runs `work` with the port open until it ends, so that an operator sees it drain, and loads files again on SIGHUP. Fails with `ListenRefused` if the port was
 * chosen and cannot be used. If it was not chosen, warns and works without.
 */
export const operated = <A, E, R>(
  { ops, shutdownDeadline, sweep }: Configuration,
  work: Effect.Effect<A, E, R>
): Effect.Effect<
  A,
  E | ListenRefused | TlsRefused,
  R | BlobDatabase | CollectorDatabase | RegistryDatabase | Storage
> => {
  const reloading = reloadingOnHangup(work)
  if (ops === null) return reloading
  const opened = Effect.gen(function* () {
    const { skew } = yield* CollectorDatabase
    const { probe } = yield* Storage
    const context = yield* Effect.context<never>()
    showZeros(Object.values(declared).flat(), known, context)
    const ready = Effect.andThen(skew, probe)
    const tls = ops.tls === null ? undefined : yield* serverCertificate(ops.tls)
    const page = yield* StatusPage.make({ settings: sweep, phases: registryPhases, version })
    const url = yield* OpsServer.serve({ ...ops, tls, shutdownDeadline, ready, page, version })
    yield* Effect.logInfo(`Status page, metrics and probes at ${url}: /, /metrics, /livez, /readyz.`)
  })
  const tolerated = ops.required
    ? opened
    : Effect.catchTag(opened, "ListenRefused", ({ message }) =>
        Effect.logWarning(`Status page, metrics and probes are off in this process. ${message}`)
      )
  return Effect.scoped(Effect.andThen(tolerated, reloading))
}
