/** The catalogue's table of blobs: what the schema guard reads of it, and the problems it finds there. */
import { Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import type { SchemaProblem } from "../../../domain/SchemaRefused.ts"
import { qualified, quote, type Sql } from "../Sql.ts"

/** The table of blobs, and the server and role that read it. */
export interface BlobsTable {
  readonly oid: string
  /** The current role, quoted. */
  readonly role: string
  /** The server is a standby. */
  readonly standby: boolean
  /** Row-level security is active for the current role. */
  readonly rows_hidden: boolean
  /** The tables that inherit from it (partitions aside), quoted. */
  readonly heirs: ReadonlyArray<string>
}

/** A column of the table of blobs. */
export interface Column {
  readonly name: string
  readonly type: string
  /** ` COLLATE …`, or empty. */
  readonly collate: string
  readonly not_null: boolean
  /** A unique index covers this column alone. */
  readonly unique: boolean
  /** The table is partitioned. */
  readonly partitioned: boolean
  /** PostgreSQL computes it from other columns. */
  readonly generated: boolean
}

/** Asks for the table. Uses no `to_regclass`, which fails for a role without USAGE. */
export const askBlobsTable = ({ sql, names }: Sql): Statement.Statement<BlobsTable> => sql<BlobsTable>`
  SELECT t.oid::text AS oid, quote_ident(current_user) AS role, pg_is_in_recovery() AS standby,
    row_security_active(t.oid) AS rows_hidden,
    ARRAY(SELECT format('%I.%I', h.nspname, c.relname) FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace h ON h.oid = c.relnamespace
      WHERE i.inhparent = t.oid AND NOT c.relispartition ORDER BY 1) AS heirs
  FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
  WHERE n.nspname = ${names.schema} AND t.relname = ${names.blobsTable} AND t.relkind IN ('r', 'p')`

/** Returns the table, or null if there is none. */
export const readBlobsTable = (db: Sql): Effect.Effect<BlobsTable | null, SqlError.SqlError> =>
  Effect.map(askBlobsTable(db), (rows) => rows[0] ?? null)

/** Returns an oid, as it was read, for a statement. */
export const oidOf = ({ sql }: Sql, oid: string): Statement.Fragment => sql`${oid}::text::oid`

/** Returns every column of the table with this oid. */
export const readColumns = ({ sql }: Sql, oid: Statement.Fragment): Statement.Statement<Column> =>
  sql<Column>`
    SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
      coalesce(' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(c.collname), '') AS collate,
      EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid
        AND i.indimmediate AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS unique,
      t.relkind = 'p' AS partitioned, a.attgenerated <> '' AS generated
    FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid
    LEFT JOIN pg_collation c ON c.oid = a.attcollation
    LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
    WHERE a.attrelid = ${oid} AND a.attnum > 0 AND NOT a.attisdropped`

/** Returns the quoted name of the table of blobs. */
export const quotedBlobs = (names: CatalogNames): string => qualified(names.schema, names.blobsTable)

/** Returns the problem of a catalogue whose table of blobs does not exist. */
export const catalogMissing = (names: CatalogNames): SchemaProblem => ({
  kind: "MissingTable",
  table: `${names.schema}.${names.blobsTable}`,
  problem: "the table of blobs does not exist",
  fix: "Set CATALOG_SCHEMA and CATALOG_BLOBS_TABLE to the catalogue's names. To create an empty catalogue, run: artifact-gc migrate --create-catalog"
})

/** Returns the problem of names that put the collector's tables among the catalogue's. */
export const sharedSchema = (names: CatalogNames): SchemaProblem => ({
  kind: "SharedSchema",
  table: `${names.schema}.${names.blobsTable}`,
  problem:
    "the collector's tables would be in the catalogue's schema, where they could meet others of their names",
  fix: "Set COLLECTOR_SCHEMA to a schema of the collector's own, such as artifact_gc."
})

/** Returns the problems of the table as a whole. */
export const tableProblems = (names: CatalogNames, found: BlobsTable): ReadonlyArray<SchemaProblem> => {
  const table = `${names.schema}.${names.blobsTable}`
  const problems: Array<SchemaProblem> = []
  if (found.standby) {
    problems.push({
      kind: "ReadOnly",
      table,
      problem: "the server is a standby, which may lack the newest references",
      fix: "Point DATABASE_URL at the primary."
    })
  }
  if (found.rows_hidden) {
    problems.push({
      kind: "HiddenRows",
      table,
      problem: "row-level security hides blobs from this role, so their objects would look like leftovers",
      fix: `ALTER ROLE ${found.role} BYPASSRLS;`
    })
  }
  if (found.heirs.length > 0) {
    problems.push({
      kind: "KeyNotUnique",
      table,
      problem:
        "tables inherit from it, and no unique index or foreign key covers their rows. The fix changes what it means: queries of this table no longer return their rows",
      fix: found.heirs.map((heir) => `ALTER TABLE ${heir} NO INHERIT ${quotedBlobs(names)};`).join(" ")
    })
  }
  return problems
}

const timestamps = new Set(["timestamp with time zone", "timestamp without time zone"])
const isTimestamp = (type: string) => timestamps.has(type.replace(/\(\d\)/, ""))
const isText = (type: string) => type === "text" || type.startsWith("character varying")
const isWhole = (type: string) => ["bigint", "integer"].includes(type) || type.startsWith("numeric")

/** A column that the collector needs. */
interface NeededColumn {
  readonly name: string
  /** The setting that names it. */
  readonly setting: string
  readonly accepts: (type: string) => boolean
  /** The accepted types in words. */
  readonly wanted: string
  readonly nullable?: boolean
  /** Why two rows must not share a value. Absent where they may. */
  readonly uniqueBecause?: string
}

const neededColumns = (names: CatalogNames): ReadonlyArray<NeededColumn> => [
  {
    name: names.digestColumn,
    setting: "CATALOG_DIGEST_COLUMN",
    accepts: () => true,
    wanted: "any type",
    uniqueBecause: "a digest must name one blob"
  },
  {
    name: names.keyColumn,
    setting: "CATALOG_KEY_COLUMN",
    accepts: isText,
    wanted: "text",
    uniqueBecause: "two blobs could own one object, and purging one would delete the other's bytes"
  },
  {
    name: names.sizeColumn,
    setting: "CATALOG_SIZE_COLUMN",
    accepts: isWhole,
    wanted: "a whole number",
    nullable: true
  },
  {
    name: names.createdAtColumn,
    setting: "CATALOG_CREATED_AT_COLUMN",
    accepts: isTimestamp,
    wanted: "a timestamp"
  },
  ...(names.lastUsedAtColumn === null
    ? []
    : [
        {
          name: names.lastUsedAtColumn,
          setting: "CATALOG_LAST_USED_AT_COLUMN",
          accepts: isTimestamp,
          wanted: "a timestamp",
          nullable: true
        }
      ])
]

/**
 * Returns the problems of the columns that the settings name: absent, of another type, nullable, not unique.
 */
export const columnProblems = (
  names: CatalogNames,
  columns: ReadonlyArray<Column>
): ReadonlyArray<SchemaProblem> => {
  const needed = neededColumns(names).map((need) => ({
    need,
    column: columns.find(({ name }) => name === need.name)
  }))
  return [
    ...needed.flatMap(({ need, column }) => typeProblems(names, need, column)),
    ...needed.flatMap(({ need, column }) => uniqueProblems(names, need, column))
  ]
}

const typeProblems = (
  names: CatalogNames,
  { name, setting, accepts, wanted, nullable = false }: NeededColumn,
  column: Column | undefined
): ReadonlyArray<SchemaProblem> => {
  const problem = (kind: SchemaProblem["kind"], what: string, fix: string): SchemaProblem => ({
    kind,
    table: `${names.schema}.${names.blobsTable}`,
    problem: `column ${name} ${what}`,
    fix
  })
  if (column === undefined) {
    const orNone = name === names.lastUsedAtColumn ? ", or to none if there is no such column" : ""
    return [problem("MissingColumn", "does not exist", `Set ${setting} to the column's name${orNone}.`)]
  }
  const setNotNull = `ALTER TABLE ${quotedBlobs(names)} ALTER COLUMN ${quote(name)} SET NOT NULL;`
  return [
    ...(accepts(column.type)
      ? []
      : [
          problem(
            "WrongType",
            `is ${column.type}, not ${wanted}`,
            `Set ${setting} to a column of that type${name === names.keyColumn ? addedKey(names) : ""}.`
          )
        ]),
    ...(nullable || column.not_null ? [] : [problem("WrongType", "allows NULL", setNotNull)])
  ]
}

/** Returns the way out where a catalogue has no column of text that names the object. */
const addedKey = (names: CatalogNames): string =>
  `, or add one that computes the object's name: ALTER TABLE ${quotedBlobs(names)} ADD COLUMN … text GENERATED ALWAYS AS (…) STORED`

const uniqueProblems = (
  names: CatalogNames,
  { name, uniqueBecause }: NeededColumn,
  column: Column | undefined
): ReadonlyArray<SchemaProblem> =>
  uniqueBecause === undefined || column === undefined || column.unique
    ? []
    : [
        {
          kind: "KeyNotUnique",
          table: `${names.schema}.${names.blobsTable}`,
          problem: `column ${name} is not unique: ${uniqueBecause}. The fix changes what the table means: it fails where rows share a value, and afterwards a program that inserts a second row with the same value gets an error`,
          fix: column.partitioned
            ? partitionedFix
            : `CREATE UNIQUE INDEX CONCURRENTLY ON ${quotedBlobs(names)} (${quote(name)});`
        }
      ]

const partitionedFix =
  "Keep the blobs in one table, and partition the tables that refer to it. A unique index on a partitioned table must contain the partition columns, so digest and key cannot both be unique."
