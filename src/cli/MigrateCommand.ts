/**
 * `artifact-gc migrate`: installs the collector's tables beside a catalogue, the registry's tables, and the
 * two sets of triggers: against unannounced writers, and watching references.
 */
import { Array, Effect, Layer, Option, Result } from "effect"
import { CliError, Command, Flag } from "effect/cli"
import type { Configuration } from "../config/Config.ts"
import { CollectorDatabase } from "../database/Database.ts"
import * as Postgres from "../database/Postgres.ts"
import {
  guardUnannouncedWriters,
  type TriggerChange,
  unguardUnannouncedWriters,
  unwatchReferences,
  watchReferences
} from "../database/Postgres.ts"
import type { CatalogNames } from "../domain/CatalogNames.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import { type SchemaProblem, SchemaRefused } from "../domain/SchemaRefused.ts"
import * as RegistryPostgres from "../oci/database/Postgres.ts"
import { configuration, noticeOf, placeFlags } from "./Configured.ts"
import { codeOf, Ended } from "./ExitCode.ts"
import * as Print from "./Print.ts"
import * as ProgressLine from "./ProgressLine.ts"
import { clientLayer } from "./Services.ts"
import { jsonFlag } from "./SweepCommand.ts"

/** A flag's former name: accepted, and not shown in the help. */
const formerName = (name: string) => Flag.Boolean(name).pipe(Flag.withDefault(false), Flag.withHidden)

/** Defines the command `artifact-gc migrate`. */
export const command = Command.make(
  "migrate",
  {
    createCatalog: Flag.Literals("create-catalog", ["blobs", "artifacts"]).pipe(
      Flag.withOptionalValue("blobs"),
      Flag.withDescription(
        "Create an empty catalogue if there is none: the table blobs alone, for tables of yours that refer to it, or with =artifacts also the tables artifacts and local_files of an artifact proxy"
      ),
      Flag.optional
    ),
    registry: Flag.Boolean("registry").pipe(
      Flag.withDescription(
        "Also install the tables of `artifact-gc serve`, which refer to the catalogue (REGISTRY_SCHEMA). Installed ones are updated without this flag"
      ),
      Flag.withDefault(false)
    ),
    guardUnannouncedWriters: Flag.Boolean("guard-unannounced-writers").pipe(
      Flag.withDescription(
        "Install triggers on the catalogue's tables against writers that do not announce their uploads and use object keys twice (docs/design/unannounced-writers.md)"
      ),
      Flag.withDefault(false)
    ),
    unguardUnannouncedWriters: Flag.Boolean("unguard-unannounced-writers").pipe(
      Flag.withDescription("Remove the triggers against unannounced writers"),
      Flag.withDefault(false)
    ),
    guardForeignWriters: formerName("guard-foreign-writers"),
    unguardForeignWriters: formerName("unguard-foreign-writers"),
    watchReferences: Flag.Boolean("watch-references").pipe(
      Flag.withDescription(
        "Install triggers on the catalogue's tables that note which blobs lose references, so that sweeps review what changed and do not scan everything (docs/design/finding.md)"
      ),
      Flag.withDefault(false)
    ),
    unwatchReferences: Flag.Boolean("unwatch-references").pipe(
      Flag.withDescription("Remove the triggers that watch references"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...placeFlags
  },
  Effect.fnUntraced(function* ({
    createCatalog,
    registry,
    guardUnannouncedWriters: isGuarding,
    unguardUnannouncedWriters: isUnguarding,
    guardForeignWriters,
    unguardForeignWriters,
    watchReferences: watch,
    unwatchReferences: unwatch,
    json,
    ...given
  }) {
    const guard = isGuarding || guardForeignWriters
    const unguard = isUnguarding || unguardForeignWriters
    const config = yield* configuration(given)
    yield* noticeOf(config)
    const isOurs = config.place._tag === "Embedded"
    const { applied, guarded, verdict, watched } = yield* Effect.provide(
      Effect.gen(function* () {
        return {
          applied: yield* RegistryPostgres.migrate(config.names, {
            createCatalog: Option.getOrElse(createCatalog, () => (isOurs ? "blobs" : undefined)),
            isOwn: isOurs,
            registry: registry || isOurs
          }),
          guarded: yield* guard
            ? guardUnannouncedWriters(config.names)
            : unguard
              ? unguardUnannouncedWriters(config.names)
              : Effect.succeed(null),
          watched: yield* watch
            ? watchReferences(config.names)
            : unwatch
              ? unwatchReferences(config.names)
              : Effect.succeed(null),
          verdict: yield* Effect.result(judge(config.names))
        }
      }),
      Layer.merge(clientLayer(config), ProgressLine.migrationLayer)
    )
    const { lacking, refused } = sorted(verdict)
    // Tables of the host follow a new catalogue, and refer to it.
    const isAwaited =
      Option.isSome(createCatalog) && refused?.problems.every(({ kind }) => kind === "NoReferences")
    const namesIn = (wanted: boolean) =>
      applied
        .filter(({ set }) => (set === RegistryPostgres.registrySet) === wanted)
        .map(({ id, name }) => `${String(id).padStart(4, "0")}_${name}`)
    const [ofCollector, ofRegistry] = [namesIn(false), namesIn(true)]
    yield* json
      ? Print.json({
          applied: ofCollector,
          ...(registry || ofRegistry.length > 0 ? { registry: ofRegistry } : {}),
          // Part of the output's format, so it keeps the former name.
          ...(guarded === null ? {} : { foreignWriters: guarded }),
          ...(watched === null ? {} : { references: watched }),
          ...(refused === null ? {} : { problems: refused.problems }),
          ...(lacking.length === 0 ? {} : { lacking })
        })
      : Print.text(
          [
            migrationText(config, ofCollector, ofRegistry),
            ...(guarded === null ? [] : [triggerText(guardWords, guard, guarded)]),
            ...(watched === null ? [] : [triggerText(watchWords, watch, watched)]),
            ...(refused === null ? [] : [isAwaited === true ? noReferencesYet : refused.message]),
            ...lackingText(lacking)
          ].join("\n")
        )
    if (isAwaited === true) return
    if (refused !== null) return yield* new Ended({ code: codeOf(refused) })
    if (Result.isFailure(verdict) && verdict.failure._tag !== "SchemaRefused") return yield* verdict.failure
  })
).pipe(
  Command.withDescription(
    "Install or update the collector's own tables, and on request the registry's tables and triggers, and report what sweeps would refuse (exit code 4). Tables of an existing catalogue are not changed, except that triggers are added on request"
  ),
  Command.withShortDescription("Install or update the collector's tables"),
  Command.withExamples([
    { command: "artifact-gc migrate", description: "Beside a catalogue of your own, and after each update" },
    {
      command: "artifact-gc migrate --create-catalog --registry",
      description: "For `artifact-gc serve` on a new database"
    }
  ]),
  Command.validate((given) => {
    const pairs = [
      [
        (given.guardUnannouncedWriters || given.guardForeignWriters) &&
          (given.unguardUnannouncedWriters || given.unguardForeignWriters),
        "guard-unannounced-writers"
      ],
      [given.watchReferences && given.unwatchReferences, "watch-references"]
    ] as const
    const both = pairs.find(([isBoth]) => isBoth)
    return both === undefined
      ? Effect.void
      : Effect.fail(
          new CliError.ValidationError({
            message: `--${both[1]} and --un${both[1]} exclude each other; nothing was changed`
          })
        )
  })
)

/** Asks the schema guard, so that the operator need not wait for the first sweep to learn what it refuses. */
const judge = (names: CatalogNames) =>
  Effect.flatMap(CollectorDatabase, ({ inspect }) => inspect).pipe(
    Effect.provide(Postgres.layer(names, { extensions: [RegistryPostgres.registrySchema] }))
  )

type Verdict = Result.Result<unknown, SchemaRefused | DatabaseError>

/**
 * Returns what sweeps of any role would refuse, and the rights of a collector that this role lacks. A role for `migrate` alone
 * needs none of these.
 */
const sorted = (verdict: Verdict) => {
  const problems =
    Result.isFailure(verdict) && verdict.failure._tag === "SchemaRefused" ? verdict.failure.problems : []
  const others = problems.filter(({ kind }) => kind !== "MissingPrivilege")
  return {
    lacking: problems.filter(({ kind }) => kind === "MissingPrivilege"),
    refused: Array.isReadonlyArrayNonEmpty(others) ? new SchemaRefused({ problems: others }) : null
  }
}

const lackingText = (lacking: ReadonlyArray<SchemaProblem>): ReadonlyArray<string> =>
  lacking.length === 0
    ? []
    : [
        `This role lacks rights of a collector, and a role for migrate alone needs none of them. The role of \`run\`, \`sweep\` and \`serve\` needs the grants of deploy/grants (docs/operations.md#privileges). If it is this one:`,
        ...lacking.map(({ fix }) => `  ${fix}`)
      ]

const noReferencesYet =
  "No table refers to blobs yet, and sweeps are refused until one does. Create your table with a foreign key to the digest and an index on its column (docs/library/references.md), or install the registry's tables: artifact-gc migrate --registry."

const migrationText = (
  { names }: Configuration,
  ofCollector: ReadonlyArray<string>,
  ofRegistry: ReadonlyArray<string>
): string => {
  const lines = [
    ...(ofCollector.length === 0
      ? []
      : [`Applied ${ofCollector.join(", ")} in schema ${names.collectorSchema}.`]),
    ...(ofRegistry.length === 0
      ? []
      : [`Applied ${ofRegistry.join(", ")} in schema ${names.registrySchema}.`])
  ]
  return lines.length > 0 ? lines.join("\n") : "Nothing to do: the tables are up to date."
}

/** How messages name a set of triggers. */
interface TriggerWords {
  readonly doing: string
  readonly done: (on: boolean) => string
}

const guardWords: TriggerWords = {
  doing: "guarding against unannounced writers",
  done: (on) => `the triggers against unannounced writers are ${on ? "" : "not "}installed`
}
const watchWords: TriggerWords = {
  doing: "watching references",
  done: (on) => `the triggers that watch references are ${on ? "" : "not "}installed`
}

const triggerText = (
  { doing, done }: TriggerWords,
  on: boolean,
  { created, dropped }: TriggerChange
): string => {
  const lines = [
    ...(created.length === 0 ? [] : [`Now ${doing} on ${created.join(", ")}.`]),
    ...(dropped.length === 0 ? [] : [`No longer ${doing} on ${dropped.join(", ")}.`])
  ]
  return lines.length > 0 ? lines.join("\n") : `Nothing to do: ${done(on)}.`
}
