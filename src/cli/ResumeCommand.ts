/** `artifact-gc resume`: ends the pause of all collectors of a catalogue. */
import { Clock, Effect } from "effect"
import { Command } from "effect/cli"
import { CollectorDatabase } from "../database/Database.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import { Ended } from "./ExitCode.ts"
import { encode, said } from "./PauseCommand.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"

/** Defines the command `artifact-gc resume`. */
export const command = Command.make(
  "resume",
  { json: jsonFlag, ...placeFlags },
  Effect.fnUntraced(function* ({ json, ...given }) {
    const config = yield* configuration(given)
    yield* withServices(config, resume(json))
  })
).pipe(
  Command.withDescription(
    "End the pause of all collectors of this catalogue. Sweeps that are due begin within 5 seconds"
  ),
  Command.withShortDescription("End the pause"),
  Command.withExamples([{ command: "artifact-gc resume" }])
)

const resume = Effect.fnUntraced(function* (json: boolean) {
  const { control } = yield* CollectorDatabase
  const ended = yield* control.resume(yield* Clock.currentTimeMillis)
  yield* json
    ? Print.json({ resumed: ended === null ? null : encode(ended) })
    : Print.text(
        ended === null
          ? "Collection was not paused. Nothing was changed."
          : `Collection is resumed. It was paused ${said(ended)}.`
      )
  if (ended === null) return yield* new Ended({ code: 3 })
})
