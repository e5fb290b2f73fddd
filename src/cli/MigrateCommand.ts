/**
 * `artifact-gc migrate`: the collector's tables beside a catalogue, the registry's, and the guard against foreign writers
 * on it.
 */
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
    registry: Flag.Boolean("registry").pipe(
      Flag.withDescription(
        "Install the tables of `artifact-gc serve` too, which refer to the catalogue (REGISTRY_SCHEMA); those that are there are updated anyway"
      ),
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
    registry,
    guardForeignWriters: guard,
    unguardForeignWriters: unguard,
    json,
    ...given
  }) {
    const config = yield* configuration(given)
    yield* noticeOf(config)
    const isOurs = config.place._tag === "Embedded"
    const { applied, change } = yield* Effect.provide(
      Effect.gen(function* () {
        return {
          applied: yield* migrate(config.names, {
            createCatalog: createCatalog || isOurs,
            registry: registry || isOurs
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
    const namesIn = (wanted: boolean) =>
      applied
        .filter(({ ofRegistry }) => ofRegistry === wanted)
        .map(({ id, name }) => `${String(id).padStart(4, "0")}_${name}`)
    const [own, registrys] = [namesIn(false), namesIn(true)]
    yield* Console.log(
      json
        ? JSON.stringify({
            applied: own,
            ...(registry || registrys.length > 0 ? { registry: registrys } : {}),
            ...(change === null ? {} : { foreignWriters: change })
          })
        : [
            migrationText(config, own, registrys),
            ...(change === null ? [] : [guardText(guard, change)])
          ].join("\n")
    )
  })
).pipe(
  Command.withDescription(
    "Install or update the collector's own tables, and the registry's where they are wanted; an existing catalogue is not touched, unless foreign writers are to be guarded against"
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

const migrationText = (
  { names }: Configuration,
  own: ReadonlyArray<string>,
  registrys: ReadonlyArray<string>
): string => {
  const lines = [
    ...(own.length === 0 ? [] : [`Applied ${own.join(", ")} in schema ${names.collectorSchema}.`]),
    ...(registrys.length === 0 ? [] : [`Applied ${registrys.join(", ")} in schema ${names.registrySchema}.`])
  ]
  return lines.length > 0 ? lines.join("\n") : "Nothing to do: the tables are up to date."
}

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
