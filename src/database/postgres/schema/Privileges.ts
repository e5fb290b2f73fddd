/**
 * The collector's own tables, their version, and the privileges of its role: what is read, and the problems
 * found.
 */
import { Effect } from "effect"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import type { SchemaProblem } from "../../../domain/SchemaRefused.ts"
import { qualified, quote, type Sql } from "../Sql.ts"
import { latestMigration } from "./MigrationList.ts"

/** A table that the collector works on, and what its role lacks there. */
export interface Access {
  readonly schema: string
  readonly table: string
  readonly present: boolean
  /** The role may use the table's schema. */
  readonly reachable: boolean
  /** The privileges that the role lacks, separated by commas. Null if it lacks none. */
  readonly missing: string | null
}

/** A table and the privileges that the collector needs there. */
export type Need = readonly [schema: string, table: string, privileges: string]

const all = "SELECT, INSERT, UPDATE, DELETE"

const needs = (names: CatalogNames): ReadonlyArray<Need> => {
  const own = names.collectorSchema
  return [
    [names.schema, names.blobsTable, "SELECT, UPDATE, DELETE"],
    [own, "migrations", "SELECT"],
    [own, "orphans", all],
    [own, "journal", all],
    [own, "intents", all],
    [own, "scans", "SELECT, UPDATE"],
    [own, "candidates", "SELECT, DELETE"],
    [own, "pins", all],
    [own, "listings", "SELECT, INSERT, UPDATE"],
    [own, "listing_ranges", all],
    [own, "binding", "SELECT, INSERT, UPDATE"],
    [own, "breakers", "SELECT, INSERT, UPDATE"],
    [own, "breaker_history", all],
    [own, "collectors", all],
    [own, "control", all],
    [own, "history", all],
    [own, "last_audit", "SELECT, INSERT, UPDATE"],
    [own, "reference_keys", all],
    [own, "reference_checks", "SELECT, UPDATE"],
    [own, "reference_sources", "SELECT, INSERT, UPDATE, DELETE"],
    [own, "installation", "SELECT"],
    [own, "tombstones", all],
    [own, "buried_keys", all],
    [own, "suspects", "SELECT, DELETE"],
    [own, "upload_sessions", "SELECT, UPDATE, DELETE"],
    [own, "upload_chunks", "SELECT, DELETE"]
  ]
}

/** Returns the access to each table that the collector works on. */
export const readAccess = (db: Sql) => readPrivileges(db, needs(db.names))

/** Returns the access to each of these tables. Needs no privilege itself. */
export const readPrivileges = ({ sql }: Sql, needed: ReadonlyArray<Need>) =>
  sql<Access>`
    SELECT w.schema, w.name AS table, c.oid IS NOT NULL AS present,
      coalesce(has_schema_privilege(n.oid, 'USAGE'), true) AS reachable,
      (SELECT string_agg(p, ', ') FROM unnest(string_to_array(w.privileges, ', ')) p
        WHERE NOT has_table_privilege(c.oid, p)) AS missing
    FROM unnest(${needed.map(([schema]) => schema)}::text[], ${needed.map(([, name]) => name)}::text[],
      ${needed.map(([, , privileges]) => privileges)}::text[]) WITH ORDINALITY AS w (schema, name, privileges, n)
    LEFT JOIN pg_namespace n ON n.nspname = w.schema
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p')
    ORDER BY w.n`

/** Returns the number of the newest migration applied, or null if the role cannot read it. */
export const readVersion = Effect.fnUntraced(function* ({ sql, names, raw }: Sql) {
  const readable = yield* sql`
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ${names.collectorSchema} AND c.relname = 'migrations'
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')`
  if (readable.length === 0) return null
  const rows = yield* askVersion({ sql, names, raw })
  return rows[0]?.id ?? 0
})

/** Asks for the number of the newest migration applied. The server refuses a role that may not read it. */
export const askVersion = ({ sql, names, raw }: Pick<Sql, "sql" | "names" | "raw">) => sql<{ id: number }>`
  SELECT coalesce(max(migration_id), 0)::int AS id FROM ${raw(qualified(names.collectorSchema, "migrations"))}`

/**
 * Returns the problems of the collector's tables and privileges. `version` is null where it could not be
 * read.
 */
export const accessProblems = (
  names: CatalogNames,
  role: string,
  tables: ReadonlyArray<Access>,
  version: number | null
): ReadonlyArray<SchemaProblem> => [
  ...collectorTableProblems(names.collectorSchema, tables, version),
  ...privilegeProblems(role, tables)
]

const collectorTableProblems = (
  own: string,
  tables: ReadonlyArray<Access>,
  version: number | null
): ReadonlyArray<SchemaProblem> => {
  const problem = (what: string, fix = "Run: artifact-gc migrate"): SchemaProblem => ({
    kind: "MissingCollectorTables",
    table: `${own}.migrations`,
    problem: `the collector's tables are ${what}`,
    fix
  })
  if (tables.some(({ schema, table, present }) => schema === own && table === "migrations" && !present)) {
    return [problem("not installed")]
  }
  if (version !== null && version < latestMigration) {
    return [problem(`at version ${version}, this program needs ${latestMigration}`)]
  }
  if (version !== null && version > latestMigration) {
    const newer = `at version ${version}, newer than this program's ${latestMigration}`
    return [problem(newer, "Run the newer artifact-gc.")]
  }
  return absentTableProblems(tables)
}

/** Returns one problem for each table that a migration created and that no longer exists. */
export const absentTableProblems = (tables: ReadonlyArray<Access>): ReadonlyArray<SchemaProblem> =>
  tables
    .filter(({ present }) => !present)
    .map(({ schema, table }) => ({
      kind: "MissingCollectorTables",
      table: `${schema}.${table}`,
      problem: "the table does not exist any more",
      fix: "Restore it from a backup. artifact-gc migrate does not create it a second time."
    }))

/** Returns the problems of tables that exist and on which the role lacks a privilege. */
export const privilegeProblems = (
  role: string,
  tables: ReadonlyArray<Access>
): ReadonlyArray<SchemaProblem> =>
  tables
    .filter(({ present }) => present)
    .flatMap(({ schema, table, reachable, missing }) => {
      const problem = (lacks: string, grant: string): SchemaProblem => ({
        kind: "MissingPrivilege",
        table: `${schema}.${table}`,
        problem: `this role lacks ${lacks}`,
        fix: `GRANT ${grant} TO ${role};`
      })
      return [
        ...(reachable ? [] : [problem("USAGE on its schema", `USAGE ON SCHEMA ${quote(schema)}`)]),
        ...(missing === null ? [] : [problem(missing, `${missing} ON ${qualified(schema, table)}`)])
      ]
    })
