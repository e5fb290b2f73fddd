/** What those who put triggers on other people's tables have in common. Functions stand in the collector's schema. */
import { Effect } from "effect"
import { qualified, quote, type Sql } from "../Sql.ts"

/** Shorter than the second after which PostgreSQL looks for deadlocks: it shall never sacrifice a writer for us. */
export const giveWay = ({ sql }: Sql) => sql`SELECT set_config('lock_timeout', '500', true)`

/**
 * Runs as its owner, because those who write to the tables have no rights to the collector's, and with a search path of
 * its own, because they must not decide what `=` means. Without one (null) only where nothing in it is looked up by a
 * path: setting it takes 8 µs a call (measured 2026-11-25).
 */
export const createFunction = Effect.fnUntraced(function* (
  { sql, names }: Sql,
  name: string,
  body: string,
  searchPath: string | null
) {
  const path = searchPath === null ? "" : `SET search_path = ${searchPath}`
  const target = `${qualified(names.collectorSchema, name)}()`
  yield* sql.unsafe(
    `CREATE OR REPLACE FUNCTION ${target} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
       ${path} AS '${body.replaceAll("'", "''")}'`
  )
  yield* sql.unsafe(`REVOKE ALL ON FUNCTION ${target} FROM PUBLIC`)
})

/** With its triggers: to drop those by themselves one would have to own their tables. */
export const dropFunction = ({ sql, names }: Sql, name: string) =>
  sql.unsafe(`DROP FUNCTION ${qualified(names.collectorSchema, name)}() CASCADE`)

/** Those whose names begin with `prefix`. */
export const readFunctions = ({ sql, names }: Sql, prefix: string) =>
  Effect.map(
    sql<{ name: string }>`
      SELECT p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname = ${names.collectorSchema} AND starts_with(p.proname, ${prefix}) ORDER BY 1`,
    (rows) => rows.map((row) => row.name)
  )

/** PostgreSQL's own schema, and those of the types that are compared: an extension's may stand anywhere. */
export const readSearchPath = Effect.fnUntraced(function* (
  { sql, names }: Sql,
  keys: ReadonlyArray<{ readonly referenced_column: string }>
) {
  const columns = [names.digestColumn, ...keys.map((key) => key.referenced_column)]
  const schemas = yield* sql<{ name: string }>`
    SELECT DISTINCT n.nspname AS name FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE a.attrelid = to_regclass(${qualified(names.schema, names.blobsTable)}) AND a.attname = ANY(${columns}::text[])
      AND n.nspname <> 'pg_catalog' ORDER BY 1`
  return ["pg_catalog", ...schemas.map(({ name }) => quote(name)), "pg_temp"].join(", ")
})

export const uniqueBy = <A>(items: ReadonlyArray<A>, key: (item: A) => string): ReadonlyArray<A> => [
  ...new Map(items.map((item) => [key(item), item])).values()
]

/** `schema.table`, each once. */
export const tablesOf = (triggers: ReadonlyArray<{ readonly schema: string; readonly table: string }>) => [
  ...new Set(triggers.map(({ schema, table }) => `${schema}.${table}`))
]
