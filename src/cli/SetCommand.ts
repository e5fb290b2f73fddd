/** `artifact-gc set`: changes settings of all collectors of a catalogue, without a restart. */
import { Clock, Duration, Effect, Option, Result } from "effect"
import { Argument, Command } from "effect/cli"
import { CollectorDatabase, type Override } from "../database/Database.ts"
import { printable } from "../domain/printable.ts"
import { SettingsInvalid } from "../domain/SettingsInvalid.ts"
import { overrideOf } from "../status/Read.ts"
import * as Changes from "../sweep/Changes.ts"
import { configuration, placeFlags, withServices } from "./Configured.ts"
import { caller, forFlag, reasonFlag } from "./Order.ts"
import * as Print from "./Print.ts"
import { jsonFlag } from "./SweepCommand.ts"

/** Defines the argument that names a setting. */
export const nameArgument = Argument.String("name").pipe(
  Argument.withDescription(`The setting: ${Changes.names.join(", ")}`)
)

/** Defines the command `artifact-gc set`. */
export const command = Command.make(
  "set",
  {
    name: Argument.optional(nameArgument),
    value: Argument.optional(
      Argument.String("value").pipe(
        Argument.withDescription("Its value, as in the environment. `none` lifts a ceiling or GC_WINDOW")
      )
    ),
    for: forFlag(
      'Time after which the change ends by itself, such as "2 hours" (default: it lasts until `artifact-gc unset`)'
    ),
    reason: reasonFlag("Why, for the people who meet the change in the status"),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({ for: time, json, name, reason, value, ...given }) {
    const config = yield* configuration(given)
    if (Option.isNone(name)) return yield* withServices(config, list(json))
    if (Option.isNone(value)) {
      return yield* new SettingsInvalid({
        problems: [`${printable(name.value)}: has no value. Write: artifact-gc set NAME VALUE`]
      })
    }
    yield* judge(given, name.value, value.value)
    const change = { name: name.value, value: value.value, reason }
    yield* withServices(config, set(change, Option.getOrNull(time), json))
  })
).pipe(
  Command.withDescription(
    "Change a setting of all collectors of this catalogue, without a restart: ceilings, GC_INTERVAL, GC_WINDOW. `run` and `serve` take it up within a minute, other collectors with their next sweep. Without a name: list the changes"
  ),
  Command.withShortDescription("Change a setting of all collectors without a restart"),
  Command.withExamples([
    { command: "artifact-gc set", description: "List the changes in force" },
    {
      command: "artifact-gc set GC_KEYS_PER_SECOND 100 --for='2 hours'",
      description: "Be gentle with the store for two hours"
    }
  ])
)

/** Judges a value as the environment's is judged, alone and beside the other settings of this environment. */
const judge = Effect.fnUntraced(function* (
  given: { readonly settings: Readonly<Record<string, Option.Option<string>>> },
  name: string,
  value: string
) {
  const added = yield* Changes.add(Changes.unchanged, { name, value })
  if (Result.isFailure(added)) return yield* new SettingsInvalid({ problems: [added.failure] })
  if (value === "none") return
  yield* configuration({ settings: { ...given.settings, [name]: Option.some(value) } })
})

const inForce = Effect.gen(function* () {
  const { control } = yield* CollectorDatabase
  return (yield* control.orders(yield* Clock.currentTimeMillis)).overrides
})

const list = Effect.fnUntraced(function* (json: boolean) {
  const overrides = yield* inForce
  if (json) {
    return yield* Effect.forEach(overrides, (one) => Print.json(overrideOf(one)), { discard: true })
  }
  yield* Print.text(
    overrides.length === 0
      ? "No setting is changed: all collectors use the values of their environments."
      : overrides.map(said).join("\n")
  )
})

const set = Effect.fnUntraced(function* (
  change: Pick<Override, "name" | "value" | "reason">,
  time: Duration.Duration | null,
  json: boolean
) {
  const { control } = yield* CollectorDatabase
  const since = yield* Clock.currentTimeMillis
  const until = time === null ? null : since + Duration.toMillis(time)
  const override: Override = { ...change, since, by: yield* caller, until }
  const before = (yield* inForce).find(({ name }) => name === change.name) ?? null
  yield* control.set(override)
  yield* json
    ? Print.json({ set: overrideOf(override), replaced: before === null ? null : overrideOf(before) })
    : Print.text(
        [
          `${change.name} is ${printable(change.value)} for all collectors of this catalogue${until === null ? "" : ` until ${at(until)}`}. \`run\` and \`serve\` take it up within a minute, other collectors with their next sweep.`,
          ...(change.name === "GC_INTERVAL" ? ["It replaces GC_CRON, too."] : []),
          ...(before === null ? [] : [`This replaces ${said(before)}.`]),
          `To end it: artifact-gc unset ${change.name}.`
        ].join("\n")
      )
})

const at = (instant: number): string => new Date(instant).toISOString()

/** Returns a change in words. */
export const said = ({ by, name, reason, since, until, value }: Override): string =>
  `${printable(name)} = ${printable(value)}, set at ${at(since)} by ${printable(by)}: ${printable(reason)}${until === null ? "" : `, until ${at(until)}`}`
