/**
 * The triggers against unannounced writers (docs/design/unannounced-writers.md), installed by
 * `artifact-gc migrate --guard-unannounced-writers`.
 *
 * Installing and removing takes a lock that inserts and purges wait for. A purge reads under that lock
 * whether the triggers are installed, by the schema guard's fingerprint. So no purge that began without them
 * commits beside them and leaves no tombstone.
 */
import { Effect } from "effect"
import type { CatalogNames } from "../../../../domain/CatalogNames.ts"
import type { SchemaProblem } from "../../../../domain/SchemaRefused.ts"
import { instant, type Sql } from "../../Sql.ts"
import type { DigestType } from "../../schema/DigestType.ts"
import { refuseGeneratedKey } from "../../schema/GeneratedKey.ts"
import {
  difference,
  type InstalledTrigger,
  install,
  type References,
  readInstalled,
  remove,
  type TriggerSet
} from "../TriggerSet.ts"
import { functionPrefix, unannouncedTriggers } from "./Functions.ts"
import { renewed } from "./Tombstones.ts"

/** Declares the triggers against unannounced writers. */
export const unannouncedWriters: TriggerSet = {
  functionPrefix,
  wanted: unannouncedTriggers,
  needs: (names) => [
    // UPDATE: its rows are locked.
    [names.schema, names.blobsTable, "SELECT, UPDATE"],
    [names.collectorSchema, "intents", "SELECT"],
    [names.collectorSchema, "orphans", "SELECT, UPDATE, DELETE"],
    [names.collectorSchema, "tombstones", "SELECT, INSERT, UPDATE, DELETE"],
    [names.collectorSchema, "buried_keys", "SELECT, INSERT, UPDATE, DELETE"],
    [names.collectorSchema, "suspects", "SELECT, INSERT"]
  ],
  afterInstall: (db, { digest }, _created, now) => buryJournaled(db, digest, now),
  // Tombstones and suspicions stay, so that the triggers can be installed again.
  afterRemoval: () => Effect.void
}

/**
 * Installs the triggers, or completes them where tables were added or dropped. Idempotent.
 *
 * Fails with `Contended`, having changed nothing, if a table is busy: its writers wait for half a second at
 * most. Fails with `SchemaRefused`, having changed nothing, if there is no catalogue, if PostgreSQL computes
 * its key column, or if the role lacks a privilege that the triggers need.
 */
export const guardUnannouncedWriters = Effect.fn("UnannouncedWriters.guard")((names: CatalogNames) =>
  Effect.andThen(
    refuseGeneratedKey(names, "migrate.guardUnannouncedWriters"),
    install(unannouncedWriters, names, "migrate.guardUnannouncedWriters")
  )
)

/**
 * Removes the triggers. Idempotent. Tombstones and suspicions stay, so that the triggers can be installed
 * again. Fails with `Contended`, having changed nothing, if a table is busy.
 */
export const unguardUnannouncedWriters = Effect.fn("UnannouncedWriters.unguard")((names: CatalogNames) =>
  remove(unannouncedWriters, names, "migrate.unguardUnannouncedWriters")
)

/** Returns whether any of the triggers is installed. */
export const areInstalled = (db: Sql) =>
  Effect.map(readInstalled(db, unannouncedWriters), (installed) => installed.length > 0)

/**
 * Returns the problems of triggers that are installed in part: a table that gained a foreign key later, a
 * trigger that was dropped or disabled. Returns none where no trigger is installed.
 */
export const triggerProblems = (
  names: CatalogNames,
  references: References,
  installed: ReadonlyArray<InstalledTrigger>
): ReadonlyArray<SchemaProblem> => {
  if (installed.length === 0) return []
  const { missing } = difference(unannouncedTriggers(names, references), installed)
  return [
    ...missing.map(({ schema, table, key }) =>
      key === undefined
        ? problem(schema, table, "the one on this table is missing")
        : {
            ...problem(
              schema,
              table,
              `none keeps column ${key.column} from referring to a blob whose object is not verified`
            ),
            constraint: key.constraint
          }
    ),
    ...installed
      .filter(({ enabled }) => !enabled)
      .map(({ schema, table, name }) => problem(schema, table, `trigger ${name} is disabled`))
  ]
}

const problem = (schema: string, table: string, what: string): SchemaProblem => ({
  kind: "UnannouncedWritersUnguarded",
  table: `${schema}.${table}`,
  problem: `the triggers against unannounced writers are installed, but ${what}`,
  fix: "Run: artifact-gc migrate --guard-unannounced-writers (or --unguard-unannounced-writers, if there are no such writers)"
})

/**
 * Adds the tombstones of what is journaled already, which was purged without one, and buries its keys. Every
 * purge in flight has committed by now, because the creation of the trigger on blobs waited for it.
 */
const buryJournaled = Effect.fnUntraced(function* (db: Sql, digest: DigestType, now: number) {
  const { sql, id, raw } = db
  yield* sql`
    INSERT INTO ${id.tombstones} (digest, since)
    SELECT DISTINCT digest::${raw(digest.type)}, ${instant(now)}::timestamptz FROM ${id.journal} WHERE digest IS NOT NULL
    ON CONFLICT (digest) ${raw(renewed())}`
  yield* sql`
    INSERT INTO ${id.buriedKeys} (object_key, since)
    SELECT object_key, ${instant(now)}::timestamptz FROM ${id.journal}
    ON CONFLICT (object_key) ${raw(renewed())}`
})
