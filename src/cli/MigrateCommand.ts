/** `artifact-gc migrate`: the collector's tables beside a catalogue, and the guard against foreign writers on it. */
import { Console, Effect } from "effect"
import { CliError, Command, Flag } from "effect/cli"
import type { Configuration } from "../Config.ts"
import {
  type GuardChange,
  guardForeignWriters,
  migrate,
  unguardForeignWriters
} from "../database/Postgres.ts"
import { clientLayer } from "../Live.ts"
import { configuration, noticeOf, placeFlags } from "./Configured.ts"
import { jsonFlag } from "./SweepCommand.ts"

export const command = Command.make(
  "migrate",
  {
    createCatalog: Flag.Boolean("create-catalog").pipe(
      Flag.withDescription("Create an empty catalogue (blobs, artifacts, local_files) where there is none"),
      Flag.withDefault(false)
    ),
    guardForeignWriters: Flag.Boolean("guard-foreign-writers").pipe(
      Flag.withDescription(
        "Put triggers on the catalogue's tables that guard against writers which use object keys twice (docs/design/foreign-writers.md)"
      ),
      Flag.withDefault(false)
    ),
    unguardForeignWriters: Flag.Boolean("unguard-foreign-writers").pipe(
      Flag.withDescription("Remove those triggers"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({
    createCatalog,
    guardForeignWriters: guard,
    unguardForeignWriters: unguard,
    json,
    ...given
  }) {
    const config = yield* configuration(given)
    yield* noticeOf(config)
    const { applied, change } = yield* Effect.provide(
      Effect.gen(function* () {
        return {
          applied: yield* migrate(config.names, {
            createCatalog: createCatalog || config.place._tag === "Embedded"
          }),
          change: yield* guard
            ? guardForeignWriters(config.names)
            : unguard
              ? unguardForeignWriters(config.names)
              : Effect.succeed(null)
        }
      }),
      clientLayer(config)
    )
    const names = applied.map(([id, name]) => `${String(id).padStart(4, "0")}_${name}`)
    yield* Console.log(
      json
        ? JSON.stringify({ applied: names, ...(change === null ? {} : { foreignWriters: change }) })
        : [migrationText(config, names), ...(change === null ? [] : [guardText(guard, change)])].join("\n")
    )
  })
).pipe(
  Command.withDescription(
    "Install or update the collector's own tables; an existing catalogue is not touched, unless foreign writers are to be guarded against"
  ),
  Command.validate(({ guardForeignWriters: guard, unguardForeignWriters: unguard }) =>
    guard && unguard
      ? Effect.fail(
          new CliError.ValidationError({
            message: "--guard-foreign-writers and --unguard-foreign-writers exclude each other"
          })
        )
      : Effect.void
  )
)

const migrationText = (config: Configuration, names: ReadonlyArray<string>): string =>
  names.length === 0
    ? "Nothing to do: the collector's tables are up to date."
    : `Applied ${names.join(", ")} in schema ${config.names.collectorSchema}.`

const guardText = (guard: boolean, { created, dropped }: GuardChange): string => {
  const lines = [
    ...(created.length === 0 ? [] : [`Guarding against foreign writers on ${created.join(", ")}.`]),
    ...(dropped.length === 0 ? [] : [`No longer guarding against foreign writers on ${dropped.join(", ")}.`])
  ]
  if (lines.length > 0) return lines.join("\n")
  return guard
    ? "Nothing to do: foreign writers are guarded against."
    : "Nothing to do: foreign writers are not guarded against."
}
