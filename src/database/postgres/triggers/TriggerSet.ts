/**
 * A set of triggers on tables that belong to other programs: which triggers it consists of, which of them are
 * installed, and how it is installed and removed. Its functions are in the collector's schema.
 *
 * The two sets are declared in unannounced/UnannouncedWriters.ts and watch/Watching.ts. Each is installed
 * only on request (`artifact-gc migrate`), because the tables are not the collector's.
 */
import { Clock, Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import { SchemaRefused } from "../../../domain/SchemaRefused.ts"
import { make, qualified, quote, type Sql } from "../Sql.ts"
import { catalogMissing } from "../schema/BlobsTable.ts"
import type { DigestType } from "../schema/DigestType.ts"
import { type ForeignKey, readReferences } from "../schema/ForeignKeys.ts"
import { type Access, type Need, privilegeProblems, readPrivileges } from "../schema/Privileges.ts"

/** A foreign key to blobs, as far as triggers depend on it. */
export type TriggerKey = Pick<ForeignKey, "schema" | "table" | "column" | "referenced_column" | "constraint">

/** The catalogue, as far as triggers depend on it. */
export interface References {
  /** The type of a digest. */
  readonly digest: DigestType
  /** The foreign keys to blobs, those that partitions inherit apart. */
  readonly keys: ReadonlyArray<TriggerKey>
  /** The foreign keys that partitions inherit. */
  readonly partitions: ReadonlyArray<TriggerKey>
}

/** A trigger of a set, with its function. Triggers of several tables may share a function. */
export interface WantedTrigger {
  readonly schema: string
  readonly table: string
  /** Name of the trigger, unquoted. Triggers of one table fire in the order of their names. */
  readonly name: string
  /** Name of the function, unquoted. It changes whenever the trigger must be replaced by another. */
  readonly function: string
  /** Body of the function, in PL/pgSQL. */
  readonly body: string
  /** Whether the body contains names or operators that PostgreSQL looks up by the search path. */
  readonly usesSearchPath: boolean
  /** The part of the declaration before the table: `BEFORE INSERT`. */
  readonly event: string
  /** The part of the declaration after the table: `FOR EACH ROW`. */
  readonly level: string
  /** The foreign key that the trigger serves. Absent where it serves none. */
  readonly key?: TriggerKey
}

/** A trigger that calls a function of a set. */
export interface InstalledTrigger {
  readonly oid: string
  readonly schema: string
  readonly table: string
  readonly name: string
  readonly function: string
  readonly enabled: boolean
  /** A partition inherits it from its parent. */
  readonly inherited: boolean
}

/** Declares a set of triggers. */
export interface TriggerSet {
  /** Begins the names of the set's functions, and of no other function in the collector's schema. */
  readonly functionPrefix: string
  /** Returns the triggers that the set consists of. */
  readonly wanted: (names: CatalogNames, references: References) => ReadonlyArray<WantedTrigger>
  /** Returns the privileges that its functions need, which run as the role that installs them. */
  readonly needs: (names: CatalogNames) => ReadonlyArray<Need>
  /**
   * Runs at the end of the transaction that installs the set. `created` counts the triggers it created.
   */
  readonly afterInstall: (
    db: Sql,
    references: References,
    created: number,
    now: number
  ) => Effect.Effect<void, SqlError.SqlError>
  /** Runs at the end of the transaction that removes the set. */
  readonly afterRemoval: (db: Sql) => Effect.Effect<void, SqlError.SqlError>
}

/** What an installation or a removal changed. */
export interface TriggerChange {
  /** `schema.table` of each table on which a trigger was created. */
  readonly created: ReadonlyArray<string>
  /** `schema.table` of each table on which a trigger was dropped. */
  readonly dropped: ReadonlyArray<string>
}

/**
 * Installs the set, or completes it where tables were added or dropped. Idempotent.
 *
 * Fails with `Contended`, having changed nothing, if a table is busy: its writers wait for the installation
 * for half a second at most. Fails with `SchemaRefused`, having installed none, if there is no catalogue, or if
 * the role lacks what the functions need: every write to the host's tables would then fail.
 */
export const install = Effect.fnUntraced(function* (set: TriggerSet, names: CatalogNames, operation: string) {
  const db = yield* make(names)
  const now = yield* Clock.currentTimeMillis
  return yield* db.verb(operation, db.transaction(installing(db, set, now), givesWay))
})

/** Removes the set. Idempotent. Fails with `Contended`, having changed nothing, if a table is busy. */
export const remove = Effect.fnUntraced(function* (set: TriggerSet, names: CatalogNames, operation: string) {
  const db = yield* make(names)
  return yield* db.verb(operation, db.transaction(removing(db, set), givesWay))
})

/** Returns the installed triggers of the set, in the order of their creation. Needs no privilege. */
export const readInstalled = (
  { sql, names }: Sql,
  { functionPrefix }: TriggerSet
): Statement.Statement<InstalledTrigger> => sql<InstalledTrigger>`
  SELECT t.oid::text AS oid, n.nspname AS schema, c.relname AS table, t.tgname AS name, p.proname AS function,
    t.tgenabled IN ('O', 'A') AS enabled, t.tgparentid <> 0 AS inherited
  FROM pg_proc p JOIN pg_namespace own ON own.oid = p.pronamespace
  JOIN pg_trigger t ON t.tgfoid = p.oid
  JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE own.nspname = ${names.collectorSchema} AND starts_with(p.proname, ${functionPrefix})
  ORDER BY t.oid`

/** Returns a text that changes when a trigger is created, dropped, enabled or disabled. */
export const fingerprint = (installed: ReadonlyArray<InstalledTrigger>): string =>
  installed.map(({ oid, enabled }) => `${oid}${enabled ? "" : "!"}`).join(",")

/** How the installed triggers differ from the wanted ones. */
export interface Difference {
  /** Wanted and not installed. */
  readonly missing: ReadonlyArray<WantedTrigger>
  /** Wanted, and missing or disabled. */
  readonly inactive: ReadonlyArray<WantedTrigger>
  /** Installed and not wanted, those that partitions inherit apart. */
  readonly stale: ReadonlyArray<InstalledTrigger>
}

/** Compares the wanted triggers with the installed ones, by table and function. */
export const difference = (
  wanted: ReadonlyArray<WantedTrigger>,
  installed: ReadonlyArray<InstalledTrigger>
): Difference => {
  // By sets, because a catalogue may have thousands of reference tables with three triggers each.
  const wants = new Set(wanted.map(identityOf))
  const without = (among: ReadonlyArray<InstalledTrigger>) => {
    const found = new Set(among.map(identityOf))
    return wanted.filter((one) => !found.has(identityOf(one)))
  }
  return {
    missing: without(installed),
    inactive: without(installed.filter(({ enabled }) => enabled)),
    stale: installed.filter((other) => !other.inherited && !wants.has(identityOf(other)))
  }
}

/** Returns what tells triggers apart: table and function. */
const identityOf = (trigger: Pick<WantedTrigger, "schema" | "table" | "function">): string =>
  JSON.stringify([trigger.schema, trigger.table, trigger.function])

/** Returns `schema.table` of each trigger, every table once. */
export const tablesOf = (
  triggers: ReadonlyArray<{ readonly schema: string; readonly table: string }>
): ReadonlyArray<string> => [...new Set(triggers.map(({ schema, table }) => `${schema}.${table}`))]

/**
 * Shorter than the second after which PostgreSQL looks for deadlocks, so that it never sacrifices a writer.
 */
const givesWay = { lock_timeout: "500" }

const installing = Effect.fnUntraced(function* (db: Sql, set: TriggerSet, now: number) {
  const { sql, names } = db
  const references = yield* readReferences(db)
  if (references === null) return yield* new SchemaRefused({ problems: [catalogMissing(names)] })
  const [{ role } = { role: "this role" }] = yield* sql<{
    role: string
  }>`SELECT quote_ident(current_user) AS role`
  const [problem, ...others] = privilegeProblems(role, yield* readPrivileges(db, set.needs(names)))
  if (problem !== undefined) return yield* new SchemaRefused({ problems: [problem, ...others] })
  const wanted = uniqueBy(set.wanted(names, references), identityOf)
  const searchPath = yield* readSearchPath(db)
  for (const trigger of uniqueBy(wanted, (one) => one.function)) {
    yield* createFunction(db, trigger, searchPath)
  }
  const { inactive, stale } = difference(wanted, yield* readInstalled(db, set))
  const [untouchable, ...more] = yield* triggerProblems(db, role, inactive)
  if (untouchable !== undefined) return yield* new SchemaRefused({ problems: [untouchable, ...more] })
  for (const trigger of inactive) yield* createTrigger(db, trigger)
  for (const { schema, table, name } of stale) {
    yield* sql.unsafe(`DROP TRIGGER ${quote(name)} ON ${qualified(schema, table)}`)
  }
  const functions = new Set(wanted.map((one) => one.function))
  for (const name of yield* readFunctions(db, set)) {
    if (!functions.has(name)) yield* dropFunction(db, name)
  }
  yield* set.afterInstall(db, references, inactive.length, now)
  return { created: tablesOf(inactive), dropped: tablesOf(stale) } satisfies TriggerChange
})

/** Returns the problems of tables on which the role may create no trigger. */
const triggerProblems = Effect.fnUntraced(function* (
  { sql }: Sql,
  role: string,
  triggers: ReadonlyArray<WantedTrigger>
) {
  const rows = yield* sql<Access>`
    SELECT DISTINCT n.nspname AS schema, c.relname AS table, true AS present,
      has_schema_privilege(n.oid, 'USAGE') AS reachable,
      CASE WHEN NOT has_table_privilege(c.oid, 'TRIGGER') THEN 'TRIGGER' END AS missing
    FROM unnest(${triggers.map(({ schema }) => schema)}::text[], ${triggers.map(({ table }) => table)}::text[])
      AS wanted (schema, name)
    JOIN pg_namespace n ON n.nspname = wanted.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
    ORDER BY 1, 2`
  return privilegeProblems(role, rows)
})

const removing = Effect.fnUntraced(function* (db: Sql, set: TriggerSet) {
  const installed = (yield* readInstalled(db, set)).filter(({ inherited }) => !inherited)
  for (const name of yield* readFunctions(db, set)) yield* dropFunction(db, name)
  yield* set.afterRemoval(db)
  return { created: [], dropped: tablesOf(installed) } satisfies TriggerChange
})

/**
 * Runs as its owner, because the roles that write to the tables have no rights to the collector's. Has a
 * search path of its own, because the calling role must not decide what `=` means. Setting it takes 8 µs a
 * call (measured 2026-11-25), so it is left out where the body looks nothing up.
 */
const createFunction = Effect.fnUntraced(function* (
  { sql, names }: Sql,
  { function: name, body, usesSearchPath }: WantedTrigger,
  searchPath: string
) {
  const path = usesSearchPath ? `SET search_path = ${searchPath}` : ""
  const target = `${qualified(names.collectorSchema, name)}()`
  yield* sql.unsafe(
    `CREATE OR REPLACE FUNCTION ${target} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
       ${path} AS '${body.replaceAll("'", "''")}'`
  )
  yield* sql.unsafe(`REVOKE ALL ON FUNCTION ${target} FROM PUBLIC`)
})

/** REPLACE, because a disabled trigger exists and must be enabled again. */
const createTrigger = ({ sql, names }: Sql, trigger: WantedTrigger) =>
  sql.unsafe(
    `CREATE OR REPLACE TRIGGER ${quote(trigger.name)} ${trigger.event}
       ON ${qualified(trigger.schema, trigger.table)} ${trigger.level}
       EXECUTE FUNCTION ${qualified(names.collectorSchema, trigger.function)}()`
  )

/** Drops its triggers as well. A role that does not own their tables could not drop them by themselves. */
const dropFunction = ({ sql, names }: Sql, name: string) =>
  sql.unsafe(`DROP FUNCTION ${qualified(names.collectorSchema, name)}() CASCADE`)

const readFunctions = ({ sql, names }: Sql, { functionPrefix }: TriggerSet) =>
  Effect.map(
    sql<{ name: string }>`
      SELECT p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname = ${names.collectorSchema} AND starts_with(p.proname, ${functionPrefix}) ORDER BY 1`,
    (rows) => rows.map((row) => row.name)
  )

/** Returns the transaction's own: PostgreSQL's schema, and those of the types that are compared. */
const readSearchPath = ({ sql }: Sql) =>
  Effect.map(
    sql<{ path: string }>`SELECT current_setting('search_path') AS path`,
    ([row]) => row?.path ?? "pg_catalog, pg_temp"
  )

const uniqueBy = <A>(items: ReadonlyArray<A>, key: (item: A) => string): ReadonlyArray<A> => [
  ...new Map(items.map((item) => [key(item), item])).values()
]
