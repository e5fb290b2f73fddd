/**
 * The values of the catalogue's rows, read and written so that an odd value stops no statement.
 *
 * The rows belong to other programs. A size may be `NaN`, negative or beyond every number, an instant may be
 * infinite or lie before Christ, and a key may be empty. One such row must not keep the others from being
 * collected.
 */
import type { Statement } from "effect/sql"
import { instant, quote, type Sql } from "./Sql.ts"
import type { DigestType } from "./schema/DigestType.ts"

/** The largest size that this program counts exactly: 9 PB, a thousand times what a store takes. */
export const sizeMax = Number.MAX_SAFE_INTEGER

/**
 * Returns the size of the blob `b` as a bigint from 0 to {@link sizeMax}. NULL, negative sizes and `NaN` are 0.
 * `NaN` sorts above all numbers, and a column of whole numbers is compared without conversion.
 */
export const sizeOf = ({ names, raw }: Sql): Statement.Fragment => {
  const size = `b.${quote(names.sizeColumn)}`
  return raw(
    `CASE WHEN ${size} BETWEEN 0 AND ${sizeMax} THEN ${size}::bigint
      WHEN ${size}::numeric = 'NaN' THEN 0 WHEN ${size} > 0 THEN ${sizeMax} ELSE 0 END`
  )
}

/** Returns the condition that an object can have the key of the blob `b`. NULL where there is no `b`. */
export const canNameObject = ({ names, raw }: Sql): Statement.Fragment =>
  raw(`octet_length(b.${quote(names.keyColumn)}) BETWEEN 1 AND 1024`)

/** The first and the last instant that are told apart. What lies outside has no date in JavaScript, or no zone. */
const earliest = "1800-01-01 00:00:00"
const latest = "9999-12-31 00:00:00"

const zoneOf = ({ names }: Sql, { zoneless = [] }: DigestType, column: string): string | null =>
  zoneless.includes(column) ? names.timeZone : null

/**
 * Returns a column of the blob `b` as `timestamptz`. A column without a zone is read in CATALOG_TIME_ZONE. Of the two
 * instants that an hour of the change from daylight-saving time may mean, PostgreSQL takes the later, which keeps
 * the blob for longer.
 */
export const instantOf = (db: Sql, types: DigestType, column: string): Statement.Fragment => {
  const { raw, sql } = db
  const value = `b.${quote(column)}`
  const zone = zoneOf(db, types, column)
  return zone === null
    ? raw(`least(greatest(${value}, timestamptz '${earliest}+00'), timestamptz '${latest}+00')`)
    : // Clamped first, because the conversion fails beyond the calendar's ends.
      sql`(${raw(`least(greatest(${value}, timestamp '${earliest}'), timestamp '${latest}')`)} AT TIME ZONE ${zone}::text)`
}

/** Returns the instant as a value of the column, in CATALOG_TIME_ZONE where the column has no zone. */
export const instantFor = (db: Sql, types: DigestType, column: string, at: number): Statement.Fragment => {
  const { sql } = db
  const zone = zoneOf(db, types, column)
  return zone === null
    ? sql`${instant(at)}::timestamptz`
    : sql`(${instant(at)}::timestamptz AT TIME ZONE ${zone}::text)`
}

/** Returns when the blob `b` was last used, as far as the catalogue knows. */
export const usedAt = (db: Sql, types: DigestType): Statement.Fragment => {
  const { createdAtColumn, lastUsedAtColumn } = db.names
  const createdAt = instantOf(db, types, createdAtColumn)
  return lastUsedAtColumn === null
    ? createdAt
    : db.sql`greatest(${createdAt}, ${instantOf(db, types, lastUsedAtColumn)})`
}
