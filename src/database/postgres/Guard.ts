/**
 * The schema guard: reads from PostgreSQL's own catalogue what keeps blobs alive, and refuses what it cannot be safe on.
 *
 * The list of reference tables is never configured and never cached beyond one sweep: a table that gains a foreign
 * key to blobs protects them from that moment on (docs/design/protocol.md, "References").
 */
import { Array as Arr, Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import { type SchemaProblem, SchemaRefused } from "../../domain/SchemaRefused.ts"
import type { ReferenceTable } from "../Database.ts"
import { latestMigration } from "./Migrations.ts"
import { qualified, quote, type Session } from "./Session.ts"

/** What the guard found, in the form the statements need. */
export interface Catalog {
  readonly references: ReadonlyArray<ReferenceTable>
  /** Type of the digest column, ready to stand behind `::`. */
  readonly digestType: string
  /** `a reference to b exists`, once for each reference table, bounded to the slice where that is possible. */
  readonly referencePredicates: (
    bound: (column: Statement.Fragment) => Statement.Fragment
  ) => Statement.Fragment
  /** Changes whenever a foreign key to blobs comes, goes or changes its action. */
  readonly fingerprint: string
}

interface Column {
  readonly name: string
  readonly type: string
  readonly not_null: boolean
  readonly unique: boolean
}

interface ForeignKey {
  readonly constraint: string
  readonly schema: string
  readonly table: string
  readonly column: string
  readonly referenced_column: string
  readonly columns: number
  readonly delete_action: string
  readonly enforced: boolean
  readonly same_collation: boolean
  readonly indexed: boolean
  readonly rows_hidden: boolean
  readonly readable: boolean
}

const timestamps = new Set(["timestamp with time zone", "timestamp without time zone"])

/** Reads and judges the catalogue. Every problem is reported, not only the first. */
export const inspect = Effect.fnUntraced(function* (session: Session) {
  const { names } = session
  const table = `${names.schema}.${names.blobsTable}`
  const refuse = (problem: Omit<SchemaProblem, "table"> & { readonly table?: string }) =>
    new SchemaRefused({ problems: [{ table, ...problem }] })

  const oid = yield* blobsOid(session)
  if (oid === null) {
    return yield* refuse({
      kind: "MissingTable",
      problem: "there is no such table",
      fix: "Name the catalogue with CATALOG_SCHEMA and CATALOG_BLOBS_TABLE; or, to create an empty one, run: artifact-gc migrate --create-catalog"
    })
  }
  const columns = yield* readColumns(session, oid)
  const keys = yield* readForeignKeys(session, oid)
  const problems = [
    ...(yield* standbyProblems(session, table)),
    ...(yield* migrationProblems(session)),
    ...columnProblems(session, table, columns),
    ...keyProblems(session, table, keys),
    ...(yield* privilegeProblems(session, table, oid))
  ]
  if (Arr.isReadonlyArrayNonEmpty(problems)) return yield* new SchemaRefused({ problems })

  const digest = columns.find((column) => column.name === names.digestColumn)
  return {
    references: keys.map((key) => ({
      table: `${key.schema}.${key.table}`,
      column: key.column,
      constraint: key.constraint
    })),
    digestType: digest?.type ?? "text",
    referencePredicates: (bound) => predicates(session, keys, bound),
    fingerprint: yield* readFingerprint(session, oid)
  } satisfies Catalog
})

/** The present fingerprint, for the purge to compare with. */
export const currentFingerprint = Effect.fnUntraced(function* (session: Session) {
  const oid = yield* blobsOid(session)
  return oid === null ? "" : yield* readFingerprint(session, oid)
})

const blobsOid = ({ sql, names }: Session): Effect.Effect<string | null, SqlError.SqlError> =>
  Effect.map(
    sql<{
      oid: string | null
    }>`SELECT to_regclass(${qualified(names.schema, names.blobsTable)})::oid::text AS oid`,
    (rows) => rows[0]?.oid ?? null
  )

const readFingerprint = ({ sql }: Session, oid: string) =>
  Effect.map(
    sql<{ fingerprint: string }>`
      SELECT coalesce(string_agg(oid::text || confdeltype::text, ',' ORDER BY oid), '') AS fingerprint
      FROM pg_constraint WHERE contype = 'f' AND confrelid = ${oid}::text::oid AND conparentid = 0`,
    (rows) => rows[0]?.fingerprint ?? ""
  )

const readColumns = ({ sql }: Session, oid: string) =>
  sql<Column>`
    SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
      EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid
        AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS unique
    FROM pg_attribute a
    WHERE a.attrelid = ${oid}::text::oid AND a.attnum > 0 AND NOT a.attisdropped`

/** Only constraints the user declared: those that partitions inherit have a parent. */
const readForeignKeys = ({ sql }: Session, oid: string) =>
  sql<ForeignKey>`
    SELECT k.conname AS constraint, n.nspname AS schema, t.relname AS table, a.attname AS column,
      f.attname AS referenced_column, cardinality(k.conkey) AS columns, k.confdeltype::text AS delete_action,
      a.attcollation = f.attcollation AS same_collation,
      -- NOT ENFORCED came with PostgreSQL 18; older servers have no such column.
      coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
        AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgenabled NOT IN ('O', 'A')) AS enforced,
      EXISTS (SELECT FROM pg_index i
        WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = k.conkey[1]) AS indexed,
      row_security_active(k.conrelid) AS rows_hidden,
      has_table_privilege(k.conrelid, 'SELECT') AS readable
    FROM pg_constraint k
    JOIN pg_class t ON t.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
    JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
    WHERE k.contype = 'f' AND k.confrelid = ${oid}::text::oid AND k.conparentid = 0
    ORDER BY n.nspname, t.relname, k.conname`

const standbyProblems = Effect.fnUntraced(function* ({ sql }: Session, table: string) {
  const rows = yield* sql<{ standby: boolean }>`SELECT pg_is_in_recovery() AS standby`
  if (rows[0]?.standby !== true) return []
  const problem: SchemaProblem = {
    kind: "ReadOnly",
    table,
    problem: "the server is a standby; it may not know the newest references",
    fix: "Point DATABASE_URL at the primary."
  }
  return [problem]
})

const migrationProblems = Effect.fnUntraced(function* ({ sql, names, raw }: Session) {
  const table = qualified(names.collectorSchema, "migrations")
  const problem = (text: string, fix: string): ReadonlyArray<SchemaProblem> => [
    { kind: "MissingCollectorTables", table: `${names.collectorSchema}.migrations`, problem: text, fix }
  ]
  const present = yield* sql<{ present: boolean }>`SELECT to_regclass(${table}) IS NOT NULL AS present`
  if (present[0]?.present !== true) {
    return problem("the collector's tables are not installed", "Run: artifact-gc migrate")
  }
  const rows = yield* sql<{ id: number }>`SELECT coalesce(max(migration_id), 0)::int AS id FROM ${raw(table)}`
  const id = rows[0]?.id ?? 0
  if (id < latestMigration)
    return problem(
      `they are at version ${id}, this program needs ${latestMigration}`,
      "Run: artifact-gc migrate"
    )
  if (id > latestMigration) {
    return problem(
      `they are at version ${id}, newer than this program's ${latestMigration}`,
      "Run the newer artifact-gc."
    )
  }
  return []
})

const columnProblems = (
  session: Session,
  table: string,
  columns: ReadonlyArray<Column>
): Array<SchemaProblem> => {
  const { names } = session
  const target = qualified(names.schema, names.blobsTable)
  const alter = (column: string, change: string) =>
    `ALTER TABLE ${target} ALTER COLUMN ${quote(column)} ${change};`
  const problems: Array<SchemaProblem> = []
  const need = (
    name: string,
    setting: string,
    accepts: (type: string) => boolean,
    wanted: string,
    notNull = true
  ) => {
    const column = columns.find((c) => c.name === name)
    if (column === undefined) {
      problems.push({
        kind: "MissingColumn",
        table,
        problem: `there is no column ${name}`,
        fix: `Set ${setting} to the column's name.`
      })
      return
    }
    if (!accepts(column.type)) {
      problems.push({
        kind: "WrongType",
        table,
        problem: `column ${name} is ${column.type}, not ${wanted}`,
        fix: `Set ${setting} to a column of that type.`
      })
    }
    if (notNull && !column.not_null) {
      problems.push({
        kind: "WrongType",
        table,
        problem: `column ${name} allows NULL`,
        fix: alter(name, "SET NOT NULL")
      })
    }
  }
  const unique = (name: string, why: string) => {
    if (columns.some((c) => c.name === name && !c.unique)) {
      problems.push({
        kind: "KeyNotUnique",
        table,
        problem: `column ${name} is not unique: ${why}`,
        fix: `CREATE UNIQUE INDEX CONCURRENTLY ON ${target} (${quote(name)});`
      })
    }
  }
  const text = (type: string) => type === "text" || type.startsWith("character varying")
  need(names.digestColumn, "CATALOG_DIGEST_COLUMN", () => true, "any type")
  need(names.keyColumn, "CATALOG_KEY_COLUMN", text, "text")
  need(
    names.sizeColumn,
    "CATALOG_SIZE_COLUMN",
    (t) => ["bigint", "integer"].includes(t) || t.startsWith("numeric"),
    "a whole number",
    false
  )
  need(names.createdAtColumn, "CATALOG_CREATED_AT_COLUMN", (t) => timestamps.has(t), "a timestamp")
  if (names.lastUsedAtColumn !== null) {
    need(
      names.lastUsedAtColumn,
      "CATALOG_LAST_USED_AT_COLUMN",
      (t) => timestamps.has(t),
      "a timestamp",
      false
    )
  }
  unique(names.digestColumn, "a digest must name one blob")
  unique(names.keyColumn, "two blobs could own one object, and purging one would delete the other's bytes")
  return problems
}

const deleteActions: Readonly<Record<string, string>> = { c: "CASCADE", n: "SET NULL", d: "SET DEFAULT" }

const keyProblems = (
  session: Session,
  table: string,
  keys: ReadonlyArray<ForeignKey>
): Array<SchemaProblem> => {
  if (keys.length === 0) {
    return [
      {
        kind: "NoReferences",
        table,
        problem: "no table has a foreign key to it, so every blob would look like garbage",
        fix: `ALTER TABLE your_references ADD FOREIGN KEY (digest) REFERENCES ${qualified(session.names.schema, session.names.blobsTable)};`
      }
    ]
  }
  return keys.flatMap((key) => judge(session, key))
}

const judge = ({ names }: Session, key: ForeignKey): Array<SchemaProblem> => {
  const target = qualified(key.schema, key.table)
  const referenced = `${qualified(names.schema, names.blobsTable)} (${quote(key.referenced_column)})`
  const problems: Array<SchemaProblem> = []
  const add = (kind: SchemaProblem["kind"], problem: string, fix: string) =>
    problems.push({ kind, table: `${key.schema}.${key.table}`, constraint: key.constraint, problem, fix })
  if (key.columns > 1) {
    add("UnsupportedForeignKey", `it spans ${key.columns} columns`, `Reference ${referenced} by one column.`)
  }
  const action = deleteActions[key.delete_action]
  if (action !== undefined) {
    add(
      "DestructiveForeignKey",
      `ON DELETE ${action} would destroy references when a blob is purged`,
      `ALTER TABLE ${target} DROP CONSTRAINT ${quote(key.constraint)}, ADD CONSTRAINT ${quote(key.constraint)} FOREIGN KEY (${quote(key.column)}) REFERENCES ${referenced};`
    )
  }
  if (!key.enforced) {
    add(
      "UnenforcedForeignKey",
      "its triggers are disabled, or it is NOT ENFORCED",
      `ALTER TABLE ${target} ENABLE TRIGGER ALL; ALTER TABLE ${qualified(names.schema, names.blobsTable)} ENABLE TRIGGER ALL; -- or make the constraint ENFORCED`
    )
  }
  if (!key.same_collation) {
    add(
      "UnsupportedForeignKey",
      `column ${key.column} sorts under another collation than the blobs it refers to`,
      `ALTER TABLE ${target} ALTER COLUMN ${quote(key.column)} TYPE text COLLATE …; -- the collation of ${referenced}`
    )
  }
  if (!key.indexed) {
    add(
      "MissingIndex",
      `column ${key.column} has no index, so each purge would scan the table`,
      `CREATE INDEX CONCURRENTLY ON ${target} (${quote(key.column)});`
    )
  }
  if (key.rows_hidden) {
    add(
      "HiddenRows",
      "row-level security hides references from this role",
      "ALTER ROLE the_collectors_role BYPASSRLS;"
    )
  }
  if (!key.readable) {
    add("MissingPrivilege", "this role may not read it", `GRANT SELECT ON ${target} TO the_collectors_role;`)
  }
  return problems
}

const privilegeProblems = Effect.fnUntraced(function* ({ sql, names }: Session, table: string, oid: string) {
  const rows = yield* sql<{ missing: string }>`
    SELECT p AS missing FROM unnest(ARRAY['SELECT', 'UPDATE', 'DELETE']) p
    WHERE NOT has_table_privilege(${oid}::text::oid, p)`
  const missing = rows.map((row) => row.missing).join(", ")
  if (missing === "") return []
  const problem: SchemaProblem = {
    kind: "MissingPrivilege",
    table,
    problem: `this role lacks ${missing}`,
    fix: `GRANT ${missing} ON ${qualified(names.schema, names.blobsTable)} TO the_collectors_role;`
  }
  return [problem]
})

/**
 * The bound is repeated inside each sub-query, because the planner cannot push it through an anti-join by itself
 * (19–23 s for 10 million blobs in closed ranges, 85–144 s without; measured 2026-11-22). A key that points at
 * another column than the digest cannot be bounded and is probed.
 */
const predicates = (
  { sql, names, raw }: Session,
  keys: ReadonlyArray<ForeignKey>,
  bound: (column: Statement.Fragment) => Statement.Fragment
): Statement.Fragment =>
  sql.and(
    keys.map((key) => {
      const column = raw(`r.${quote(key.column)}`)
      const range = key.referenced_column === names.digestColumn ? bound(column) : raw("")
      return sql`NOT EXISTS (SELECT FROM ${raw(qualified(key.schema, key.table))} r
        WHERE ${column} = b.${raw(quote(key.referenced_column))}${range})`
    })
  )
