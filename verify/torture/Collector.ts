/**
 * A process that sweeps again and again until it is killed, with waits of fractions of a second. It prints a
 * line of JSON for each sweep.
 */

import { Duration, Effect, Layer, Logger } from "effect"
import { registryPhases } from "../../src/oci/RegistryPhases.ts"
import * as Loop from "../../src/sweep/collector/Loop.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as Servers from "../bench/harness/Servers.ts"
import { layers } from "./Layers.ts"

const servers = Servers.fromEnvironment()
if (servers === null) throw new Error("REAL_DATABASE_URL and REAL_S3_… must be set")

const settings = {
  grace: Duration.millis(300),
  quarantine: Duration.millis(200),
  uploadGrace: Duration.seconds(5),
  leftoverEvery: Duration.seconds(1),
  leftoverGrace: Duration.seconds(1),
  lease: Duration.seconds(2),
  backoffBase: Duration.millis(200),
  backoffCap: Duration.seconds(1),
  // No operator retries dead letters here.
  attemptsMax: 1000,
  // Every reference is removed within seconds, again and again.
  breakerPercent: 100
}

await Effect.gen(function* () {
  const sweep = yield* Sweep
  yield* Effect.forkChild(sweep.verifying)
  // Without the checks of `Collector`: no service may sweep ten times a second.
  const loop = yield* Loop.make({
    when: { _tag: "interval", interval: Duration.millis(100) },
    jitter: Duration.millis(100),
    window: undefined
  })
  while (true) {
    const { outcome, totals } = yield* loop.next
    process.stdout.write(`${JSON.stringify({ did: "sweep", outcome, deleted: totals.deleted })}\n`)
  }
}).pipe(
  Effect.provide([
    Sweep.layerUnchecked({ ...settings, phases: registryPhases }).pipe(Layer.provide(layers(servers))),
    // The parent parses stdout, so log lines are printed on stderr.
    Logger.layer([Logger.withConsoleError(Logger.formatJson)])
  ]),
  Effect.runPromise
)
