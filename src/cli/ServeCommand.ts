/** `artifact-gc serve`: the registry, and the collector in the same process. */
import { Array, Clock, Deferred, Effect, Layer } from "effect"
import { Command, Flag } from "effect/cli"
import { HttpServer } from "effect/http"
import { ConfigInvalid, type Configuration } from "../config/Config.ts"
import { type RedirectConfiguration, serveProblems, serveWarnings } from "../config/ServeConfig.ts"
import { CollectorDatabase } from "../database/Database.ts"
import { RegistryDatabase } from "../oci/database/RegistryDatabase.ts"
import type { RedirectOptions } from "../oci/http/Handler.ts"
import * as Server from "../oci/http/Server.ts"
import { optimiseWasm } from "../platform/wasm.ts"
import { Storage } from "../storage/Storage.ts"
import { bindOrRequire } from "../sweep/preflight/BindingGuard.ts"
import { allFlags, configuration, withServices } from "./Configured.ts"
import { operated } from "./Operations.ts"
import * as Print from "./Print.ts"
import { IsQuiet } from "./Quiet.ts"
import { collecting, inspected } from "./RunCommand.ts"
import { serverCertificate } from "./reload/Certificates.ts"
import { graceful, SignalExit } from "./Shutdown.ts"
import { jsonFlag } from "./SweepCommand.ts"
import { accessOptions } from "./serve/AccessFiles.ts"
import * as Try from "./serve/Try.ts"

/** Defines the command `artifact-gc serve`. */
export const command = Command.make(
  "serve",
  {
    collect: Flag.Boolean("collect").pipe(
      Flag.withDescription(
        "Collect garbage in this process too. --no-collect leaves it to `artifact-gc run`"
      ),
      Flag.withDefault(true)
    ),
    trying: Flag.Boolean("try").pipe(
      Flag.withDescription(
        "Use the embedded database and waits of seconds, so that a collection can be watched. Not for images that matter"
      ),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...allFlags
  },
  Effect.fnUntraced(function* ({ collect, trying, json, ...given }) {
    yield* Effect.sync(optimiseWasm)
    const config = yield* configuration(given, trying ? Try.shortWaits : {})
    const problems = [
      ...(trying && config.place._tag === "External"
        ? ["DATABASE_URL: --try works on the embedded database only; unset it, or leave out --try"]
        : []),
      ...serveProblems(config.serve, config.sweep.uploadGrace)
    ]
    if (Array.isArrayNonEmpty(problems)) return yield* new ConfigInvalid({ problems })
    yield* Effect.scoped(
      Effect.gen(function* () {
        // Before the database, because a certificate that cannot be used is found at once.
        const tls = config.serve.tls === null ? undefined : yield* serverCertificate(config.serve.tls)
        yield* withServices(config, Effect.scoped(serve(config, { collect, trying, json, tls })), {
          joins: false
        })
      })
    )
  })
).pipe(
  Command.withDescription(
    "Serve an OCI registry for docker and other clients, and collect its garbage, until stopped. SIGTERM finishes requests and the current batch, and exits 0"
  ),
  Command.withShortDescription("Serve an OCI registry, and collect its garbage"),
  Command.withExamples([
    { command: "artifact-gc serve --try", description: "On the embedded database, with waits of seconds" },
    {
      command: "REGISTRY_TOKEN=… artifact-gc serve --serve-host=0.0.0.0",
      description: "For other hosts, which log in with the token as password"
    },
    { command: "artifact-gc serve --no-collect", description: "As a replica beside `artifact-gc run`" }
  ])
)

interface ServeOptions {
  readonly collect: boolean
  readonly trying: boolean
  readonly json: boolean
  readonly tls: Server.ServerTls | undefined
}

/**
 * Serves until a signal. Refuses to start on a store or a catalogue that it cannot work with, and on an
 * address that another process uses. In both cases it collects nothing.
 */
const serve = Effect.fnUntraced(function* (config: Configuration, options: ServeOptions) {
  const exit = yield* SignalExit
  exit.code = 0
  const collected = yield* inspected
  yield* (yield* RegistryDatabase).manifests.probe
  // Without this, images would be pushed to a store, or below prefixes, that the collector does not know.
  yield* bindOrRequire(yield* Clock.currentTimeMillis, config.sweep)
  const { tls } = options
  const listening = yield* Deferred.make<void>()
  const serving = graceful(
    config.shutdownDeadline,
    (stop) => {
      const collector = Effect.andThen(
        Deferred.await(listening),
        collecting(config, stop, { json: options.json, quiet: options.trying })
      )
      const server = Effect.gen(function* () {
        const { address } = yield* HttpServer.HttpServer
        yield* announce(config, options, Server.urlOf(address, tls), collected)
        yield* Deferred.succeed(listening, undefined)
        yield* stop
      }).pipe(Effect.provide(serverLayer(config, tls)))
      return Effect.all(options.collect ? [server, collector] : [server], { concurrency: 2, discard: true })
    },
    options.collect ? "requests under way and the current batch" : "requests under way"
  )
  yield* operated(config, serving)
})

const serverLayer = (
  { secretFiles, serve, shutdownDeadline }: Configuration,
  tls: Server.ServerTls | undefined
) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { skew } = yield* CollectorDatabase
      const { presign, probe } = yield* Storage
      const access = yield* accessOptions(serve.access, secretFiles)
      const redirect = redirectOptions(serve.redirect, presign)
      return Server.layer({
        ...serve,
        ...access,
        tls,
        redirect,
        shutdownDeadline,
        ready: Effect.andThen(skew, probe)
      })
    })
  )

/** Returns how the routes send clients to the store. The configuration has refused stores that cannot. */
const redirectOptions = (
  redirect: RedirectConfiguration | null,
  presign: Storage["Service"]["presign"]
): RedirectOptions | undefined =>
  redirect === null || presign === undefined
    ? undefined
    : { presign: (key) => presign(key, redirect.life), agents: redirect.agents }

const announce = Effect.fnUntraced(function* (
  config: Configuration,
  { collect, trying, json }: ServeOptions,
  url: string,
  collected: string
) {
  for (const warning of serveWarnings(config.serve)) yield* Effect.logWarning(warning)
  yield* Effect.logInfo(`Serving an OCI registry at ${url}.`)
  yield* Effect.logInfo(
    collect
      ? collected
      : "This process does not collect garbage. Without `artifact-gc run` beside it, garbage is never deleted."
  )
  if (trying) {
    yield* Effect.logWarning(
      "--try: the waits are seconds. Images that are not tagged soon are deleted soon. Sweeps that find nothing to do are not logged."
    )
  }
  const isWanted = !json && !(yield* IsQuiet) && (trying || process.stdout.isTTY)
  if (isWanted) yield* Print.text(Try.commands(config, url, collect))
})
