/**
 * Tables that inherit from a reference table. PostgreSQL does not enforce the parent's foreign key for their
 * rows: a row that is being inserted takes no lock on its blob, and a purge at that moment leaves it pointing at
 * nothing. Partitions are no such tables, because PostgreSQL enforces the key for each of them.
 */
import type { Statement } from "effect/sql"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import type { SchemaProblem } from "../../../domain/SchemaRefused.ts"
import { qualified, quote, type Sql } from "../Sql.ts"
import { quotedBlobs } from "./BlobsTable.ts"

/** A table that inherits, at any depth, from a reference table, and has no such foreign key itself. */
export interface InheritingTable {
  readonly schema: string
  readonly table: string
  readonly parent: string
  readonly column: string
  readonly referenced_column: string
  readonly constraint: string
  /** An index serves the question which of its rows refer to a blob. */
  readonly indexed: boolean
}

/** Returns the tables that inherit from tables with a foreign key to the table with this oid. */
export const readInheritingTables = (
  { raw, sql }: Sql,
  oid: Statement.Fragment
): Statement.Statement<InheritingTable> => {
  // Sub-queries instead of joins: to plan twelve joins takes the server longer than all else that the guard reads.
  const nameOf = (namespace: string) =>
    raw(`(SELECT n.nspname FROM pg_namespace n WHERE n.oid = ${namespace})`)
  return sql<InheritingTable>`
    WITH RECURSIVE heirs AS (
      SELECT k.oid AS key, i.inhrelid AS heir FROM pg_constraint k JOIN pg_inherits i ON i.inhparent = k.conrelid
        JOIN pg_class c ON c.oid = i.inhrelid
        WHERE k.contype = 'f' AND k.confrelid = ${oid} AND NOT c.relispartition
      UNION
      SELECT h.key, i.inhrelid FROM heirs h JOIN pg_inherits i ON i.inhparent = h.heir
    )
    SELECT ${nameOf("c.relnamespace")} AS schema, c.relname AS table,
      format('%s.%s', ${nameOf("p.relnamespace")}, p.relname) AS parent,
      a.attname AS column, (SELECT f.attname FROM pg_attribute f WHERE f.attrelid = k.confrelid
        AND f.attnum = k.confkey[1]) AS referenced_column, k.conname AS constraint,
      EXISTS (SELECT FROM pg_index x JOIN pg_class xc ON xc.oid = x.indexrelid JOIN pg_am m ON m.oid = xc.relam
        WHERE x.indrelid = c.oid AND x.indisvalid AND x.indpred IS NULL AND x.indkey[0] = ca.attnum
          AND m.amname IN ('btree', 'hash')) AS indexed
    FROM heirs h JOIN pg_constraint k ON k.oid = h.key
    JOIN pg_class c ON c.oid = h.heir JOIN pg_class p ON p.oid = k.conrelid
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
    JOIN pg_attribute ca ON ca.attrelid = c.oid AND ca.attname = a.attname
    WHERE NOT EXISTS (SELECT FROM pg_constraint o WHERE o.contype = 'f' AND o.conrelid = c.oid
      AND o.confrelid = k.confrelid AND o.conkey = ARRAY[ca.attnum] AND o.confkey = ARRAY[k.confkey[1]])
    ORDER BY 1, 2, 4`
}

/** Returns the problem of each such table. */
export const inheritanceProblems = (
  names: CatalogNames,
  tables: ReadonlyArray<InheritingTable>
): ReadonlyArray<SchemaProblem> =>
  tables.map(({ column, constraint, indexed, parent, referenced_column: referenced, schema, table }) => {
    const target = qualified(schema, table)
    const index = indexed ? "" : ` CREATE INDEX CONCURRENTLY ON ${target} (${quote(column)});`
    return {
      kind: "InheritedReference",
      table: `${schema}.${table}`,
      problem: `it inherits from ${parent}, and PostgreSQL does not enforce that table's foreign key (${constraint}, column ${column}) for its rows`,
      fix: `ALTER TABLE ${target} ADD FOREIGN KEY (${quote(column)}) REFERENCES ${quotedBlobs(names)} (${quote(referenced)}) NOT VALID;${index}`
    }
  })
