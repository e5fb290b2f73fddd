/** The catalogue's type of digests. Statements that compare, sort or store a digest must name it. */
import { Effect, Ref } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { SchemaProblem } from "../../../domain/SchemaRefused.ts"
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
  /** The catalogue's instant columns that have no time zone. Default none. */
  readonly zoneless?: ReadonlyArray<string>
}

/** Returns the type of the digest column, or null if the table or the column does not exist. */
export const readDigestType = ({ sql, names }: Sql): Effect.Effect<DigestType | null, SqlError.SqlError> =>
  Effect.map(
    sql<DigestType>`
      SELECT format_type(a.atttypid, a.atttypmod) AS type,
        ARRAY(SELECT z.attname::text FROM pg_attribute z WHERE z.attrelid = a.attrelid AND NOT z.attisdropped
          AND z.atttypid = 'timestamp'::regtype
          AND z.attname IN (${names.createdAtColumn}, ${names.lastUsedAtColumn ?? names.createdAtColumn})) AS zoneless,
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

/** The collector's tables that store digests in the catalogue's type. */
export const typedTables = ["orphans", "candidates", "pins", "suspects", "tombstones"] as const

/** A table of the collector whose digests have another type than the catalogue's. */
export interface OtherType extends DigestType {
  readonly table: (typeof typedTables)[number]
}

/** Asks for the types of the digests in the collector's tables. */
export const askOwnTypes = ({ sql, names }: Sql): Statement.Statement<OtherType> => sql<OtherType>`
  SELECT t.relname AS table, format_type(a.atttypid, a.atttypmod) AS type,
    coalesce(' COLLATE ' || quote_ident(cn.nspname) || '.' || quote_ident(c.collname), '') AS collate
  FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = 'digest' AND NOT a.attisdropped
  LEFT JOIN pg_collation c ON c.oid = a.attcollation
  LEFT JOIN pg_namespace cn ON cn.oid = c.collnamespace
  WHERE n.nspname = ${names.collectorSchema} AND t.relkind = 'r'
    AND t.relname = ANY(${typedTables}::text[]) ORDER BY t.relname`

const othersOf = (types: ReadonlyArray<OtherType>, { collate, type }: DigestType) =>
  types.filter((one) => one.type !== type || one.collate !== collate)

/** Returns the tables whose digests have another type or collation than the catalogue's. */
export const readOtherTypes = (
  db: Sql,
  digest: DigestType
): Effect.Effect<ReadonlyArray<OtherType>, SqlError.SqlError> =>
  Effect.map(askOwnTypes(db), (types) => othersOf(types, digest))

/** Returns a problem if the collector's tables, whose types are `types`, were made for another type of digests. */
export const digestTypeProblems = (
  db: Sql,
  digest: DigestType,
  types: ReadonlyArray<OtherType>
): ReadonlyArray<SchemaProblem> =>
  othersOf(types, digest)
    .slice(0, 1)
    .map((other) => digestTypeChanged(db, digest, other, "Run: artifact-gc migrate"))

/** Returns the problem of a table whose digests have another type than the catalogue's. */
export const digestTypeChanged = (
  { names }: Sql,
  digest: DigestType,
  other: OtherType,
  fix: string
): SchemaProblem => ({
  kind: "DigestTypeChanged",
  table: `${names.collectorSchema}.${other.table}`,
  problem: `column digest is ${other.type}${other.collate}, and ${names.schema}.${names.blobsTable}.${names.digestColumn} is ${digest.type}${digest.collate}`,
  fix
})
