/** `artifact-gc unset`: ends the change of a setting. */
import { Clock, Effect } from "effect"
import { Command } from "effect/cli"
import { CollectorDatabase } from "../database/Database.ts"
import { printable } from "../domain/printable.ts"
import { overrideOf } from "../status/Read.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import { Ended } from "./ExitCode.ts"
import * as Print from "./Print.ts"
import { nameArgument, said } from "./SetCommand.ts"
import { jsonFlag } from "./SweepCommand.ts"

/** Defines the command `artifact-gc unset`. */
export const command = Command.make(
  "unset",
  { name: nameArgument, json: jsonFlag, ...placeFlags },
  Effect.fnUntraced(function* ({ json, name, ...given }) {
    const config = yield* configuration(given)
    yield* withServices(config, unset(name, json))
  })
).pipe(
  Command.withDescription(
    "End the change of a setting: collectors take up the value of their environment again, within a minute or with their next sweep"
  ),
  Command.withShortDescription("End the change of a setting"),
  Command.withExamples([{ command: "artifact-gc unset GC_KEYS_PER_SECOND" }])
)

const unset = Effect.fnUntraced(function* (name: string, json: boolean) {
  const { control } = yield* CollectorDatabase
  const ended = yield* control.unset(name, yield* Clock.currentTimeMillis)
  yield* json
    ? Print.json({ unset: ended === null ? null : overrideOf(ended) })
    : Print.text(
        ended === null
          ? `${printable(name)} was not changed. To see all changes: artifact-gc set.`
          : `Ended: ${said(ended)}.`
      )
  if (ended === null) return yield* new Ended({ code: 3 })
})
