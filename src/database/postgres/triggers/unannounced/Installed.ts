/** Which triggers of the guard against foreign writers there are; read without needing a privilege. */
import type { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { CatalogNames } from "../../../../domain/CatalogNames.ts"
import type { SchemaProblem } from "../../../../domain/SchemaRefused.ts"
import type { Sql } from "../../Sql.ts"
import { blobsFunction, functionPrefix, type GuardedKey, referenceFunction } from "./Functions.ts"

/** A trigger that calls a function of the guard, on a table or, inherited, on its partition. */
export interface InstalledTrigger {
  readonly oid: string
  readonly schema: string
  readonly table: string
  readonly name: string
  readonly function: string
  readonly enabled: boolean
  readonly inherited: boolean
}

export const readTriggers = ({
  sql,
  names
}: Sql): Effect.Effect<ReadonlyArray<InstalledTrigger>, SqlError.SqlError> => sql<InstalledTrigger>`
  SELECT t.oid::text AS oid, n.nspname AS schema, c.relname AS table, t.tgname AS name, p.proname AS function,
    t.tgenabled IN ('O', 'A') AS enabled, t.tgparentid <> 0 AS inherited
  FROM pg_proc p JOIN pg_namespace own ON own.oid = p.pronamespace
  JOIN pg_trigger t ON t.tgfoid = p.oid
  JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE own.nspname = ${names.collectorSchema} AND starts_with(p.proname, ${functionPrefix})
  ORDER BY t.oid`

/** Changes when the guard is installed, removed, or switched off and on. */
export const guardFingerprint = (triggers: ReadonlyArray<InstalledTrigger>): string =>
  triggers.map(({ oid, enabled }) => `${oid}${enabled ? "" : "!"}`).join(",")

/**
 * What is missing of a guard that is there in part: a table that refers to blobs since, a trigger that was dropped or
 * switched off. Nothing is wrong with there being no guard.
 */
export const guardProblems = (
  names: CatalogNames,
  keys: ReadonlyArray<GuardedKey & { readonly constraint: string }>,
  triggers: ReadonlyArray<InstalledTrigger>
): ReadonlyArray<SchemaProblem> => {
  if (triggers.length === 0) return []
  const problem = (
    table: string,
    constraint: string | undefined,
    what: string
  ): ReadonlyArray<SchemaProblem> => [
    {
      kind: "ForeignWritersUnguarded",
      table,
      ...(constraint === undefined ? {} : { constraint }),
      problem: `the guard against foreign writers is installed, but ${what}`,
      fix: "Run: artifact-gc migrate --guard-foreign-writers (or --unguard-foreign-writers, when there are none)"
    }
  ]
  const has = (schema: string, table: string, name: string) =>
    triggers.some((one) => one.schema === schema && one.table === table && one.function === name)
  return [
    ...(has(names.schema, names.blobsTable, blobsFunction)
      ? []
      : problem(`${names.schema}.${names.blobsTable}`, undefined, "its trigger on this table is missing")),
    ...keys.flatMap((key) =>
      has(key.schema, key.table, referenceFunction(names, key))
        ? []
        : problem(
            `${key.schema}.${key.table}`,
            key.constraint,
            `nothing keeps column ${key.column} from referring to a blob whose object is not verified`
          )
    ),
    ...triggers
      .filter(({ enabled }) => !enabled)
      .flatMap(({ schema, table, name }) =>
        problem(`${schema}.${table}`, undefined, `its trigger ${name} is disabled`)
      )
  ]
}
