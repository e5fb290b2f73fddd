/** `artifact-gc pause`: for all collectors of a catalogue, without a restart. */
import { Clock, Duration, Effect, Option } from "effect"
import { Command } from "effect/cli"
import { CollectorDatabase, type Pause } from "../database/Database.ts"
import { printable } from "../domain/printable.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import { caller, forFlag, reasonFlag } from "./Order.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"

/** Defines the command `artifact-gc pause`. */
export const command = Command.make(
  "pause",
  {
    reason: reasonFlag("Why, for the people who meet the pause in logs and refusals"),
    for: forFlag(
      'Time after which the pause ends by itself, such as "2 hours" (default: it lasts until `artifact-gc resume`)'
    ),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({ reason, for: time, json, ...given }) {
    const config = yield* configuration(given)
    yield* withServices(config, pause(reason, Option.getOrNull(time), json))
  })
).pipe(
  Command.withDescription(
    "Pause all collectors of this catalogue, in every process. Sweeps under way end after the batch in hand, within 5 seconds. Suspects are not verified. Uploads and pulls continue"
  ),
  Command.withShortDescription("Pause all collectors of the catalogue"),
  Command.withExamples([{ command: "artifact-gc pause --for='2 hours' --reason='restore of the database'" }])
)

const pause = Effect.fnUntraced(function* (reason: string, time: Duration.Duration | null, json: boolean) {
  const { control } = yield* CollectorDatabase
  const since = yield* Clock.currentTimeMillis
  const until = time === null ? null : since + Duration.toMillis(time)
  const ordered: Pause = { since, by: yield* caller, reason, until }
  const before = yield* control.paused(since)
  yield* control.pause(ordered)
  yield* json
    ? Print.json({ paused: encode(ordered), replaced: before === null ? null : encode(before) })
    : Print.text(
        [
          `All collectors of this catalogue are paused${until === null ? "" : ` until ${at(until)}`}. A sweep under way ends after the batch in hand.`,
          ...(before === null ? [] : [`This replaces the pause ${said(before)}.`]),
          "To end it: artifact-gc resume."
        ].join("\n")
      )
})

const at = (instant: number): string => new Date(instant).toISOString()

/** Returns in words since when, by whom and why collection is paused. */
export const said = ({ by, reason, since }: Pause): string =>
  `since ${at(since)} by ${printable(by)}: ${printable(reason)}`

/** Returns a pause as it is printed in JSON. */
export const encode = ({ by, reason, since, until }: Pause) => ({
  since: at(since),
  by,
  reason,
  until: until === null ? null : at(until)
})
