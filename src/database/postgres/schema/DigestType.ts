/** The catalogue's type of digests. Statements that compare, sort or store a digest must name it. */
import { Effect, Ref } from "effect"
import type { SqlError } from "effect/sql"
import { qualified, type Sql } from "../Sql.ts"

/** The type and collation of the digest column, as text for statements. */
export interface DigestType {
  /** The type, as it follows `::`. */
  readonly type: string
  /**
   * ` COLLATE …` as it follows an expression, or empty. Without it parameters sort under the database's
   * collation.
   */
  readonly collate: string
}

/** Returns the type of the digest column, or null if the table or the column does not exist. */
export const readDigestType = ({ sql, names }: Sql): Effect.Effect<DigestType | null, SqlError.SqlError> =>
  Effect.map(
    sql<DigestType>`
      SELECT format_type(a.atttypid, a.atttypmod) AS type,
        coalesce(' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(c.collname), '') AS collate
      FROM pg_attribute a
      LEFT JOIN pg_collation c ON c.oid = a.attcollation
      LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
      WHERE a.attrelid = to_regclass(${qualified(names.schema, names.blobsTable)}) AND a.attname = ${names.digestColumn}
        AND NOT a.attisdropped`,
    (rows) => rows[0] ?? null
  )

/** Returns the digest column's type, read once: writers need it, and it must not cost them a round trip each. */
export const cachedDigestType = Effect.fnUntraced(function* (db: Sql) {
  const cached = yield* Ref.make<DigestType | null>(null)
  const read = Effect.tap(readDigestType(db), (found) => Ref.set(cached, found))
  return Ref.get(cached).pipe(
    Effect.flatMap((found) => (found === null ? read : Effect.succeed(found))),
    // Without a catalogue the statement itself says best what is missing.
    Effect.map((found) => found ?? { type: "text", collate: "" })
  )
})
