/** A schema as PostgreSQL's own catalogue describes it, as text: what an unintended change shows in. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { onProcessClock } from "../../src/database/postgres/Sql.ts"

const describe = `
  WITH tables AS (
    SELECT c.oid, n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY($1::text[]) AND c.relkind IN ('r', 'p')),
  lines AS (
    SELECT name, 1 AS part, a.attnum AS position, concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
      CASE WHEN a.attcollation NOT IN (0, 100) THEN 'COLLATE "' || l.collname || '"' END,
      CASE WHEN a.attnotnull THEN 'NOT NULL' END, 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)) AS line
    FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT name, 2, 0, conname || ' ' || pg_get_constraintdef(k.oid)
    FROM tables t JOIN pg_constraint k ON k.conrelid = t.oid WHERE k.contype <> 'n'
    UNION ALL
    SELECT name, 3, 0, pg_get_indexdef(i.indexrelid) FROM tables t JOIN pg_index i ON i.indrelid = t.oid)
  SELECT name, line FROM lines ORDER BY name COLLATE "C", part, position, line COLLATE "C"`

/** Tables, columns, constraints and indexes of the schemas. */
export const schemaText = (
  ...schemas: ReadonlyArray<string>
): Effect.Effect<string, never, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.unsafe<{ name: string; line: string }>(describe, [schemas])
  ).pipe(
    Effect.map((rows) =>
      [...new Set(rows.map((row) => row.name))]
        .map((name) =>
          [name, ...rows.filter((row) => row.name === name).map((row) => `  ${row.line}`)].join("\n")
        )
        .join("\n\n")
        .concat("\n")
    ),
    Effect.orDie,
    onProcessClock
  )
