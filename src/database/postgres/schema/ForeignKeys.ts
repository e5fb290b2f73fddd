/** The foreign keys to blobs: what the schema guard reads of them, and the problems it finds there. */
import { Effect } from "effect"
import type { Statement } from "effect/sql"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import type { SchemaProblem } from "../../../domain/SchemaRefused.ts"
import { qualified, quote, type Sql } from "../Sql.ts"
import { oidOf, quotedBlobs, readBlobsTable } from "./BlobsTable.ts"
import { readDigestType } from "./DigestType.ts"
import { privilegeProblems } from "./Privileges.ts"

/** A foreign key to blobs. If it spans several columns, `column` is the first. */
export interface ForeignKey {
  readonly constraint: string
  readonly schema: string
  readonly table: string
  readonly column: string
  readonly referenced_column: string
  /** The table's oid and the column's number, which survive a new name. */
  readonly relid: string
  readonly attnum: number
  /** Its column is NOT NULL. */
  readonly required: boolean
  /** How many columns it spans. */
  readonly columns: number
  /** All its columns, quoted. */
  readonly column_list: string
  /** All columns it refers to, quoted. */
  readonly referenced_list: string
  /** What follows the action on delete in its declaration. */
  readonly options: string
  /** PostgreSQL's letter for ON DELETE. */
  readonly delete_action: string
  /** A partition inherits it from its parent. */
  readonly inherited: boolean
  /** Its table is partitioned. */
  readonly partitioned: boolean
  /** Its column has the collation of the column it refers to. */
  readonly same_collation: boolean
  /**
   * Type of its column, with the collation of the column it refers to. A type without collations (an enum)
   * is replaced by the type of the column it refers to.
   */
  readonly wanted_type: string
  readonly enforced: boolean
  /** A trigger that enforces it would not fire. */
  readonly triggers_disabled: boolean
  /** An index serves the question which rows refer to a blob. */
  readonly indexed: boolean
  /** Row-level security of its table is active for the current role. */
  readonly rows_hidden: boolean
  /** The role may use its table's schema. */
  readonly reachable: boolean
  /** The role may read its table. */
  readonly readable: boolean
}

/** Triggers of a foreign key `k` that would not fire. */
const disabledTriggers = `
  EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgenabled NOT IN ('O', 'A'))`

/** A parameter: a statement whose text has this word does not look like one that only reads (Reader.ts). */
const onUpdate = " ON UPDATE"

/** PostgreSQL 18 introduced NOT ENFORCED. Older servers have no such column. */
const enforced = `coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)`

/**
 * Returns every foreign key to the table with this oid. Includes those that partitions inherit, because their
 * triggers can be disabled on their own. A hash index counts as an index: it serves the purge, though not the
 * scan. Indexes of types other than btree and hash serve neither.
 */
export const readForeignKeys = (
  { sql, raw }: Sql,
  oid: Statement.Fragment
): Statement.Statement<ForeignKey> =>
  sql<ForeignKey>`
    SELECT k.conname AS constraint, n.nspname AS schema, t.relname AS table, a.attname AS column,
      f.attname AS referenced_column, cardinality(k.conkey) AS columns, k.confdeltype::text AS delete_action,
      k.conrelid::text AS relid, a.attnum::int AS attnum, a.attnotnull AS required,
      k.conparentid <> 0 AS inherited, t.relkind = 'p' AS partitioned,
      (SELECT string_agg(quote_ident(c.attname), ', ' ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u (num, n)
        JOIN pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = u.num) AS column_list,
      (SELECT string_agg(quote_ident(c.attname), ', ' ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY u (num, n)
        JOIN pg_attribute c ON c.attrelid = k.confrelid AND c.attnum = u.num) AS referenced_list,
      concat(
        CASE k.confmatchtype WHEN 'f' THEN ' MATCH FULL' END,
        ${onUpdate}::text || CASE k.confupdtype WHEN 'r' THEN ' RESTRICT' WHEN 'c' THEN ' CASCADE'
          WHEN 'n' THEN ' SET NULL' WHEN 'd' THEN ' SET DEFAULT' END,
        CASE WHEN k.condeferrable THEN ' DEFERRABLE' END,
        CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' END) AS options,
      a.attcollation = f.attcollation AS same_collation,
      CASE WHEN a.attcollation = 0 THEN format_type(f.atttypid, f.atttypmod)
        ELSE format_type(a.atttypid, a.atttypmod) END
        || coalesce(' COLLATE ' || quote_ident(cn.nspname) || '.' || quote_ident(fc.collname), '') AS wanted_type,
      ${raw(enforced)} AS enforced, ${raw(disabledTriggers)} AS triggers_disabled,
      EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
        WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = k.conkey[1]
          AND m.amname IN ('btree', 'hash')) AS indexed,
      row_security_active(k.conrelid) AS rows_hidden,
      has_schema_privilege(n.oid, 'USAGE') AS reachable,
      has_table_privilege(k.conrelid, 'SELECT') AS readable
    FROM pg_constraint k
    JOIN pg_class t ON t.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
    JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
    LEFT JOIN pg_collation fc ON fc.oid = f.attcollation
    LEFT JOIN pg_namespace cn ON cn.oid = fc.collnamespace
    WHERE k.contype = 'f' AND k.confrelid = ${oid}
    ORDER BY n.nspname, t.relname, k.conname`

/**
 * Asks for a text that changes when a foreign key to the table with this oid is added, dropped, changes its
 * action on delete, or is no longer enforced.
 */
export const askKeysFingerprint = ({ sql, raw }: Sql, oid: Statement.Fragment) =>
  sql<{ fingerprint: string }>`
    SELECT coalesce(string_agg(concat_ws(':', k.oid, k.confdeltype, enforced, disabled), ',' ORDER BY k.oid), '')
      AS fingerprint
    FROM pg_constraint k, LATERAL (SELECT ${raw(enforced)} AS enforced, ${raw(disabledTriggers)} AS disabled) s
    WHERE k.contype = 'f' AND k.confrelid = ${oid} AND (k.conparentid = 0 OR s.disabled)`

/**
 * Returns the foreign keys to blobs, those that partitions inherit apart, and the type of a digest. Returns
 * null if the table or its digest column does not exist. Reports no problems.
 */
export const readReferences = Effect.fnUntraced(function* (db: Sql) {
  const table = yield* readBlobsTable(db)
  const digest = yield* readDigestType(db)
  if (table === null || digest === null) return null
  const keys = yield* readForeignKeys(db, oidOf(db, table.oid))
  return {
    digest,
    keys: keys.filter((key) => !key.inherited),
    partitions: keys.filter((key) => key.inherited)
  }
})

/** Returns the problems of the foreign keys, and the problem that there are none. */
export const keyProblems = (
  names: CatalogNames,
  role: string,
  keys: ReadonlyArray<ForeignKey>
): ReadonlyArray<SchemaProblem> =>
  keys.length > 0
    ? keys.flatMap((key) =>
        key.inherited ? enforcementProblems(names, key) : declarationProblems(names, role, key)
      )
    : [
        {
          kind: "NoReferences",
          table: `${names.schema}.${names.blobsTable}`,
          problem: "no table has a foreign key to it, so every blob would be an orphan",
          fix: `For each column that refers to a blob: ALTER TABLE your_table ADD FOREIGN KEY (your_column) REFERENCES ${quotedBlobs(names)} (${quote(names.digestColumn)}) NOT VALID; then an index on the column. If references are kept outside of this database, sweep with a reference source.`
        }
      ]

const about = (
  key: ForeignKey,
  kind: SchemaProblem["kind"],
  problem: string,
  fix: string
): SchemaProblem => ({
  kind,
  table: `${key.schema}.${key.table}`,
  constraint: key.constraint,
  problem,
  fix
})

const enforcementProblems = (names: CatalogNames, key: ForeignKey): ReadonlyArray<SchemaProblem> => {
  const target = qualified(key.schema, key.table)
  if (!key.enforced) {
    // PostgreSQL alters a partition's key only through its parent, which is reported itself.
    if (key.inherited) return []
    const fix = `ALTER TABLE ${target} ALTER CONSTRAINT ${quote(key.constraint)} ENFORCED;`
    return [about(key, "UnenforcedForeignKey", "the foreign key is NOT ENFORCED", fix)]
  }
  if (!key.triggers_disabled) return []
  const fix = `ALTER TABLE ${target} ENABLE TRIGGER ALL; ALTER TABLE ${quotedBlobs(names)} ENABLE TRIGGER ALL; -- as a superuser; enables the tables' other triggers, too`
  return [about(key, "UnenforcedForeignKey", "the foreign key's triggers are disabled", fix)]
}

const deleteActions: Readonly<Record<string, string>> = { c: "CASCADE", n: "SET NULL", d: "SET DEFAULT" }

const declarationProblems = (
  names: CatalogNames,
  role: string,
  key: ForeignKey
): ReadonlyArray<SchemaProblem> => {
  const { schema, table, reachable } = key
  const target = qualified(schema, table)
  const referenced = `${quotedBlobs(names)} (${key.referenced_list})`
  const constraint = quote(key.constraint)
  const problems: Array<SchemaProblem> = []
  const add = (kind: SchemaProblem["kind"], problem: string, fix: string) =>
    problems.push(about(key, kind, problem, fix))
  if (key.columns > 1) {
    add(
      "UnsupportedForeignKey",
      `the foreign key spans ${key.columns} columns`,
      `Reference ${quotedBlobs(names)} by one column.`
    )
  }
  const action = deleteActions[key.delete_action]
  if (action !== undefined) {
    const [notValid, validate] = key.partitioned
      ? ["", ""]
      : [
          " NOT VALID",
          ` -- later, without blocking writers: ALTER TABLE ${target} VALIDATE CONSTRAINT ${constraint};`
        ]
    add(
      "DestructiveForeignKey",
      `ON DELETE ${action} would destroy references when a blob is purged. The fix changes what the key means: a program that deletes blobs itself may rely on ${action}, and its deletes fail afterwards`,
      `ALTER TABLE ${target} DROP CONSTRAINT ${constraint}, ADD CONSTRAINT ${constraint} FOREIGN KEY (${key.column_list}) REFERENCES ${referenced}${key.options}${notValid};${validate}`
    )
  }
  problems.push(...enforcementProblems(names, key))
  if (!key.same_collation) {
    add(
      "UnsupportedForeignKey",
      `column ${key.column} has another collation than the column it refers to`,
      `ALTER TABLE ${target} ALTER COLUMN ${quote(key.column)} TYPE ${key.wanted_type};`
    )
  }
  if (!key.indexed) {
    // PostgreSQL refuses CONCURRENTLY for a partitioned table.
    const concurrently = key.partitioned ? "" : " CONCURRENTLY"
    add(
      "MissingIndex",
      `column ${key.column} has no index, so each purge would scan the table`,
      `CREATE INDEX${concurrently} ON ${target} (${quote(key.column)});`
    )
  }
  if (key.rows_hidden) {
    add("HiddenRows", "row-level security hides references from this role", `ALTER ROLE ${role} BYPASSRLS;`)
  }
  const missing = key.readable ? null : "SELECT"
  for (const problem of privilegeProblems(role, [{ schema, table, present: true, reachable, missing }])) {
    problems.push({ ...problem, constraint: key.constraint })
  }
  return problems
}
