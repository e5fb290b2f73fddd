/** `artifact-gc status`: what the collectors of a catalogue do, what waits, and what an operator should do next. */
import { Clock, Effect } from "effect"
import { Command } from "effect/cli"
import { registryPhases } from "../oci/RegistryPhases.ts"
import { read } from "../status/Read.ts"
import type { Status } from "../status/Status.ts"
import type { SweepSettings } from "../sweep/Settings.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import { Ended, type ExitCode } from "./ExitCode.ts"
import * as Print from "./Print.ts"
import { status } from "./StatusText.ts"
import { jsonFlag } from "./SweepCommand.ts"
import { resultWidth } from "./Terminal.ts"
import { watchFlag, watching } from "./Watch.ts"

/** Defines the command `artifact-gc status`. */
export const command = Command.make(
  "status",
  { watch: watchFlag, json: jsonFlag, ...placeFlags },
  Effect.fnUntraced(function* ({ json, watch, ...given }) {
    const config = yield* configuration(given)
    const { sweep } = config
    yield* withServices(
      config,
      watch
        ? watching((now) => Effect.map(look(sweep, now), (found) => textOf(found, json)))
        : show(sweep, json)
    )
  })
).pipe(
  Command.withDescription(
    "Show what the collectors of this catalogue do, what waits, and what to do next. Exits with 0 if all is well, 10 if an operator should look, 11 if nothing is collected. --json is described by docs/status.schema.json"
  ),
  Command.withShortDescription("Show what is done, what waits, and what to do next"),
  Command.withExamples([
    { command: "artifact-gc status --watch", description: "See a sweep move" },
    { command: "artifact-gc status --json | jq .health", description: "For a check" }
  ])
)

const look = (settings: SweepSettings, now: number) => read(now, { settings, phases: registryPhases })

const forPeople = (found: Status): string => status(found, resultWidth(process.stdout, process.env))

const textOf = (found: Status, json: boolean): string => (json ? JSON.stringify(found) : forPeople(found))

const codes: Record<Status["health"], ExitCode> = { ok: 0, attention: 10, broken: 11 }

const show = Effect.fnUntraced(function* (settings: SweepSettings, json: boolean) {
  const found = yield* look(settings, yield* Clock.currentTimeMillis)
  yield* json ? Print.json(found) : Print.text(forPeople(found))
  const code = codes[found.health]
  if (code !== 0) return yield* new Ended({ code })
})
