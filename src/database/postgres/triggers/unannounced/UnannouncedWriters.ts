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
import { type SchemaProblem, SchemaRefused } from "../../../../domain/SchemaRefused.ts"
import { instant, make, qualified, quote, type Sql } from "../../Sql.ts"
import type { DigestType } from "../../schema/DigestType.ts"
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
  afterInstall: (db, { digest }, _created, now) => buryJournaled(db, digest, now),
  // Tombstones and suspicions stay, so that the triggers can be installed again.
  afterRemoval: () => Effect.void
}

/**
 * Installs the triggers, or completes them where tables were added or dropped. Idempotent.
 *
 * Fails with `Contended`, having changed nothing, if a table is busy: its writers wait for half a second at
 * most. Fails with `SchemaRefused` if there is no catalogue, or if its key column is generated.
 */
export const guardUnannouncedWriters = Effect.fn("UnannouncedWriters.guard")(function* (names: CatalogNames) {
  yield* refuseGeneratedKeys(names)
  return yield* install(unannouncedWriters, names, installing)
})

const installing = "migrate.guardUnannouncedWriters"

/**
 * Fails where PostgreSQL computes the key from other columns. The trigger runs before that and sees none, so it
 * would fail the writer's insert. And a suspect could not move to a fresh key.
 */
const refuseGeneratedKeys = Effect.fnUntraced(function* (names: CatalogNames) {
  const db = yield* make(names)
  const generated = yield* db.verb(
    installing,
    db.sql`
      SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = ${names.schema} AND c.relname = ${names.blobsTable} AND a.attname = ${names.keyColumn}
        AND a.attgenerated <> ''`
  )
  if (generated.length === 0) return
  const table = `${names.schema}.${names.blobsTable}`
  return yield* new SchemaRefused({
    problems: [
      {
        kind: "WrongType",
        table,
        problem: `column ${names.keyColumn} is generated, so no trigger can read it before the insert, and no blob can move to another key. No trigger was installed`,
        fix: `Make it an ordinary column that the writers fill: ALTER TABLE ${qualified(names.schema, names.blobsTable)} ALTER COLUMN ${quote(names.keyColumn)} DROP EXPRESSION; Without the triggers, collect only while no such writer is at work.`
      }
    ]
  })
})

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
