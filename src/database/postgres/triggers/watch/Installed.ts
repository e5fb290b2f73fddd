/** Which of the triggers that note changes there are; read without needing a privilege. */
import type { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { CatalogNames } from "../../../../domain/CatalogNames.ts"
import type { Watch } from "../../../Database.ts"
import type { Sql } from "../../Sql.ts"
import { functionPrefix, type WatchedKey, type WatchTrigger, watchTriggers } from "./Functions.ts"

export interface InstalledWatch {
  readonly schema: string
  readonly table: string
  readonly name: string
  readonly function: string
  readonly enabled: boolean
}

export const readWatch = ({
  sql,
  names
}: Sql): Effect.Effect<ReadonlyArray<InstalledWatch>, SqlError.SqlError> => sql<InstalledWatch>`
  SELECT n.nspname AS schema, c.relname AS table, t.tgname AS name, p.proname AS function,
    t.tgenabled IN ('O', 'A') AS enabled
  FROM pg_proc p JOIN pg_namespace own ON own.oid = p.pronamespace
  JOIN pg_trigger t ON t.tgfoid = p.oid
  JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE own.nspname = ${names.collectorSchema} AND starts_with(p.proname, ${functionPrefix})
  ORDER BY 1, 2, 3`

export const isSame = (wanted: WatchTrigger, installed: InstalledWatch): boolean =>
  wanted.schema === installed.schema &&
  wanted.table === installed.table &&
  wanted.function === installed.function

/** What there is of what is wanted. */
export const watchOf = (
  names: CatalogNames,
  keys: ReadonlyArray<WatchedKey>,
  installed: ReadonlyArray<InstalledWatch>
): Watch => {
  if (installed.length === 0) return { isOn: false, unwatched: [] }
  const missing = watchTriggers(names, keys).filter(
    (wanted) => !installed.some((one) => one.enabled && isSame(wanted, one))
  )
  return {
    isOn: missing.length === 0,
    unwatched: [...new Set(missing.map(({ schema, table }) => `${schema}.${table}`))]
  }
}
