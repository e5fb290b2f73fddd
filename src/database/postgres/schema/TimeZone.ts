/** Columns of the catalogue that hold local times, and the zone in which they are written. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import type { SchemaProblem } from "../../../domain/SchemaRefused.ts"
import { quote, type Sql } from "../Sql.ts"
import { type Column, quotedBlobs } from "./BlobsTable.ts"
import type { DigestType } from "./DigestType.ts"

const isZoneless = (type: string) => /^timestamp(\(\d\))? without time zone$/.test(type)

/** Returns the instant columns that have no time zone. */
export const zonelessOf = (
  { createdAtColumn, lastUsedAtColumn }: CatalogNames,
  columns: ReadonlyArray<Column>
): ReadonlyArray<string> =>
  columns
    .filter(({ name, type }) => isZoneless(type) && (name === createdAtColumn || name === lastUsedAtColumn))
    .map(({ name }) => name)

/** Returns a problem for each column without a zone, unless CATALOG_TIME_ZONE names one that the server knows. */
export const timeZoneProblems = (
  db: Sql,
  { zoneless = [] }: DigestType
): Effect.Effect<ReadonlyArray<SchemaProblem>, SqlError.SqlError> =>
  Effect.gen(function* () {
    if (zoneless.length === 0) return []
    const { timeZone } = db.names
    if (timeZone !== null && (yield* isKnown(db, timeZone))) return []
    return zoneless.map((column) => problemOf(db.names, column))
  })

/** Zones that a client's server has named. To name them all takes it 75 ms (measured 2026-11-30). */
const known = new WeakMap<object, Set<string>>()

/** Abbreviations and rules in POSIX's form are not zones: `IST` is India's and Ireland's. */
const isKnown = ({ sql }: Sql, timeZone: string) =>
  Effect.suspend(() => {
    const zones = known.get(sql) ?? new Set<string>()
    known.set(sql, zones)
    if (zones.has(timeZone)) return Effect.succeed(true)
    return Effect.map(
      sql`SELECT 1 AS known FROM pg_catalog.pg_timezone_names WHERE name = ${timeZone}`,
      (rows) => {
        if (rows.length > 0) zones.add(timeZone)
        return rows.length > 0
      }
    )
  })

const problemOf = (names: CatalogNames, column: string): SchemaProblem => ({
  kind: "MissingTimeZone",
  table: `${names.schema}.${names.blobsTable}`,
  problem:
    names.timeZone === null
      ? `column ${column} has no time zone, so grace would end hours too early or too late`
      : `column ${column} has no time zone, and the server knows no zone named ${names.timeZone} (CATALOG_TIME_ZONE)`,
  fix: `Set CATALOG_TIME_ZONE to the zone in which your program writes it, such as UTC or America/St_Johns. Or store instants, which rewrites the table under a lock: ALTER TABLE ${quotedBlobs(names)} ALTER COLUMN ${quote(column)} TYPE timestamptz USING ${quote(column)} AT TIME ZONE 'your zone';`
})
