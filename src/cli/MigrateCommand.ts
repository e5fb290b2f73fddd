/**
 * `artifact-gc migrate`: the collector's tables beside a catalogue, the registry's, and the triggers on it that guard against
 * foreign writers and note losses of references.
 */
import { Console, Effect } from "effect"
import { CliError, Command, Flag } from "effect/cli"
import type { Configuration } from "../config/Config.ts"
import {
  type GuardChange,
  guardForeignWriters,
  unguardForeignWriters,
  unwatchReferences,
  type WatchChange,
  watchReferences
} from "../database/Postgres.ts"
import * as RegistryPostgres from "../oci/database/Postgres.ts"
import { configuration, noticeOf, placeFlags } from "./Configured.ts"
import { clientLayer } from "./Services.ts"
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
    watchReferences: Flag.Boolean("watch-references").pipe(
      Flag.withDescription(
        "Put triggers on the catalogue's tables that note which blobs lose references, so that sweeps look at what changed and not at everything (docs/design/finding.md)"
      ),
      Flag.withDefault(false)
    ),
    unwatchReferences: Flag.Boolean("unwatch-references").pipe(
      Flag.withDescription("Remove those"),
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
    watchReferences: watch,
    unwatchReferences: unwatch,
    json,
    ...given
  }) {
    const config = yield* configuration(given)
    yield* noticeOf(config)
    const isOurs = config.place._tag === "Embedded"
    const { applied, guarded, watched } = yield* Effect.provide(
      Effect.gen(function* () {
        return {
          applied: yield* RegistryPostgres.migrate(config.names, {
            createCatalog: createCatalog || isOurs,
            registry: registry || isOurs
          }),
          guarded: yield* guard
            ? guardForeignWriters(config.names)
            : unguard
              ? unguardForeignWriters(config.names)
              : Effect.succeed(null),
          watched: yield* watch
            ? watchReferences(config.names)
            : unwatch
              ? unwatchReferences(config.names)
              : Effect.succeed(null)
        }
      }),
      clientLayer(config)
    )
    const namesIn = (wanted: boolean) =>
      applied
        .filter(({ set }) => (set === RegistryPostgres.registrySet) === wanted)
        .map(({ id, name }) => `${String(id).padStart(4, "0")}_${name}`)
    const [own, registrys] = [namesIn(false), namesIn(true)]
    yield* Console.log(
      json
        ? JSON.stringify({
            applied: own,
            ...(registry || registrys.length > 0 ? { registry: registrys } : {}),
            ...(guarded === null ? {} : { foreignWriters: guarded }),
            ...(watched === null ? {} : { references: watched })
          })
        : [
            migrationText(config, own, registrys),
            ...(guarded === null ? [] : [triggerText(guardWords, guard, guarded)]),
            ...(watched === null ? [] : [triggerText(watchWords, watch, watched)])
          ].join("\n")
    )
  })
).pipe(
  Command.withDescription(
    "Install or update the collector's own tables, and the registry's where they are wanted; an existing catalogue is not touched, unless triggers are asked for"
  ),
  Command.validate((given) => {
    const pairs = [
      [given.guardForeignWriters && given.unguardForeignWriters, "guard-foreign-writers"],
      [given.watchReferences && given.unwatchReferences, "watch-references"]
    ] as const
    const both = pairs.find(([isBoth]) => isBoth)
    return both === undefined
      ? Effect.void
      : Effect.fail(
          new CliError.ValidationError({ message: `--${both[1]} and --un${both[1]} exclude each other` })
        )
  })
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

/** How one speaks of triggers: of doing something on tables, and of its being done. */
interface TriggerWords {
  readonly doing: string
  readonly done: (on: boolean) => string
}

const guardWords: TriggerWords = {
  doing: "guarding against foreign writers",
  done: (on) => `foreign writers are ${on ? "" : "not "}guarded against`
}
const watchWords: TriggerWords = {
  doing: "watching references",
  done: (on) => `references are ${on ? "" : "not "}watched`
}

const triggerText = (
  { doing, done }: TriggerWords,
  on: boolean,
  { created, dropped }: GuardChange | WatchChange
): string => {
  const lines = [
    ...(created.length === 0 ? [] : [`Now ${doing} on ${created.join(", ")}.`]),
    ...(dropped.length === 0 ? [] : [`No longer ${doing} on ${dropped.join(", ")}.`])
  ]
  return lines.length > 0 ? lines.join("\n") : `Nothing to do: ${done(on)}.`
}
