/**
 * `artifact-gc demo`: imports a directory tree as artifacts, drops some references, sweeps, and reads
 * everything back.
 *
 * The clock is set forward between the sweeps, so that hours take seconds. Everything else is real.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Clock, Duration, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { ConfigInvalid, type Configuration } from "../config/Config.ts"
import { makeDirectory } from "../platform/directories.ts"
import { configuration, sweepFlags } from "./Configured.ts"
import * as Steps from "./demo/Steps.ts"
import * as TravelClock from "./demo/TravelClock.ts"
import * as Tree from "./demo/Tree.ts"
import { Ended } from "./ExitCode.ts"
import * as ProgressLine from "./ProgressLine.ts"
import { service } from "./RunCommand.ts"
import * as Services from "./Services.ts"
import { jsonFlag } from "./SweepCommand.ts"

/** Defines the command `artifact-gc demo`. */
export const command = Command.make(
  "demo",
  {
    tree: Flag.String("tree").pipe(
      Flag.withMetavar("directory"),
      Flag.withDescription("Directory to import (default: this program's own dependencies)"),
      Flag.withDefault(Tree.defaultTree())
    ),
    keepRunning: Flag.Boolean("keep-running").pipe(
      Flag.withDescription("Continue as the service afterwards, on the demonstration's data"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...sweepFlags
  },
  Effect.fnUntraced(function* ({ tree, keepRunning, json, ...given }) {
    const config = yield* demoConfiguration(yield* configuration(given))
    const vital = Effect.flatMap(Services.Vital, ({ lost }) => lost)
    const work = Effect.gen(function* () {
      const clock = TravelClock.make(Duration.hours(-30))
      const good = yield* Steps.run(config, clock, resolve(tree), json).pipe(
        Effect.provideService(Clock.Clock, clock),
        Effect.provide(ProgressLine.layer)
      )
      if (!good) return yield* new Ended({ code: 3 })
      if (keepRunning) yield* service(config, false)
    })
    yield* Effect.provide(
      Effect.raceFirst(work, vital),
      Services.layer(config, { catalog: "artifacts", joins: false })
    )
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Show a collection on real files with the default waits: import files, drop references, sweep, read everything back"
  ),
  Command.withShortDescription("Show a collection on real files, with hours as seconds"),
  Command.withExamples([
    { command: "artifact-gc demo" },
    {
      command: "artifact-gc demo --tree=/usr/share/doc --keep-running",
      description: "On files of yours, and go on as a service"
    }
  ])
)

/**
 * Makes a directory for this run alone and removes it at the end, so that no other data is at risk. Its data
 * can be made again, so it is not durable.
 */
const demoConfiguration = Effect.fnUntraced(function* (config: Configuration) {
  if (config.place._tag === "External") {
    return yield* new ConfigInvalid({
      problems: ["DATABASE_URL: the demonstration works on the embedded database only; unset it"]
    })
  }
  const parent = config.place.directory
  const directory = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      await makeDirectory(parent)
      return mkdtemp(join(parent, "demo-"))
    }),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const place = { _tag: "Embedded", directory, durable: false } as const
  return { ...config, place }
})
