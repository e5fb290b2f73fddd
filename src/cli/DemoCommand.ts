/**
 * `artifact-gc demo`: a real directory tree becomes artifacts, some are dropped, time passes, and the collector runs;
 * then everything is read back. The clock is set forward between the sweeps, so hours take seconds; nothing else is
 * staged.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Clock, Duration, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { ConfigInvalid, type Configuration } from "../config/Config.ts"
import { makeDirectory } from "../platform/directories.ts"
import { configuration, sweepFlags } from "./Configured.ts"
import * as Story from "./demo/Story.ts"
import * as TravelClock from "./demo/TravelClock.ts"
import * as Tree from "./demo/Tree.ts"
import { Ended } from "./ExitCode.ts"
import * as ProgressLine from "./ProgressLine.ts"
import { service } from "./RunCommand.ts"
import * as Live from "./Services.ts"
import { jsonFlag } from "./SweepCommand.ts"

export const command = Command.make(
  "demo",
  {
    tree: Flag.String("tree").pipe(
      Flag.withDescription("The directory to import (default: this program's own dependencies)"),
      Flag.withDefault(Tree.defaultTree())
    ),
    keepRunning: Flag.Boolean("keep-running").pipe(
      Flag.withDescription("Go on as the service afterwards, on the demonstration's data"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...sweepFlags
  },
  Effect.fnUntraced(function* ({ tree, keepRunning, json, ...given }) {
    const config = yield* demoConfiguration(yield* configuration(given))
    const vital = Effect.flatMap(Live.Vital, ({ lost }) => lost)
    const work = Effect.gen(function* () {
      const clock = TravelClock.make(Duration.hours(-30))
      const good = yield* Story.tell(config, clock, resolve(tree), json).pipe(
        Effect.provideService(Clock.Clock, clock),
        Effect.provide(ProgressLine.layer)
      )
      if (!good) return yield* new Ended({ code: 3 })
      if (keepRunning) yield* service(config, false)
    })
    yield* Effect.provide(Effect.raceFirst(work, vital), Live.layer(config))
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Show a collection on real files, with the default waits: import, drop references, sweep, read everything back"
  )
)

/**
 * A place of its own for each run, removed at the end, so that nobody's data is near. What it holds can be made again,
 * so it does without waiting for the disk.
 */
const demoConfiguration = Effect.fnUntraced(function* (config: Configuration) {
  if (config.place._tag === "External") {
    return yield* new ConfigInvalid({
      problems: ["DATABASE_URL: the demonstration works on embedded defaults only; unset it"]
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
