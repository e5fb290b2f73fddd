/**
 * Looks for references without a foreign key ("the sniff"). It costs seconds in a large schema, so its answer
 * is remembered: for a day, while tables and their columns stay as they are, and while tables that were empty
 * stay so. An answer that made the collector refuse is never taken from memory.
 */
import { Array as Arr, Effect } from "effect"
import { columnNameOf, entryOf } from "../../../domain/CatalogNames.ts"
import type { SchemaProblem } from "../../../domain/SchemaRefused.ts"
import type { ReferenceCheck } from "../../contract/References.ts"
import { type Recalled, setOf } from "../ReferenceMemory.ts"
import { instant, millis, qualified, quote, type Sql } from "../Sql.ts"
import type { DigestType } from "../schema/DigestType.ts"
import type { ForeignKey } from "../schema/ForeignKeys.ts"
import { type Identity, readBoundDigests, readColumns, readIdentities, readTables } from "./Columns.ts"
import { readShapes, sample, sampleId } from "./Samples.ts"
import { canHold, type Suspect, suspectsOf } from "./Suspects.ts"

/** What the search depends on. */
export interface Search {
  /** The oid of the table of blobs. */
  readonly blobs: string
  readonly digest: DigestType
  readonly keys: ReadonlyArray<ForeignKey>
  /** Tables of other parts of this program. */
  readonly ours: ReadonlyArray<readonly [schema: string, table: string]>
  /** Columns for which a reference source answers. */
  readonly covered: ReadonlyArray<string>
}

/** What a search found. */
type Found = Pick<ReferenceCheck, "undeclared" | "hint" | "unread">

/** How long an answer is good: data changes without a trace in the schema. */
const goodForMillis = 24 * 3_600_000

/** Changes when a newer version of this program looks for more. */
const rules = 2

/** Returns the undeclared references, from memory where it is good. Writes only with `record`. */
export const undeclared = Effect.fnUntraced(function* (
  db: Sql,
  search: Search,
  memory: Recalled,
  now: number,
  record: boolean
) {
  const { names } = db
  const fingerprint = JSON.stringify([
    rules,
    memory.tables,
    setOf(search.keys),
    ...[names.schema, names.blobsTable, names.digestColumn, names.keyColumn]
  ])
  const remembered = foundOf(db, search.covered, memory.suspects as ReadonlyArray<Suspect>, memory)
  const age = memory.sniffed_at === null ? Number.NaN : now - millis(memory.sniffed_at)
  const isGood = age >= 0 && age < goodForMillis && memory.fingerprint === fingerprint && !memory.filled
  if (isGood && remembered.undeclared.length === 0) return remembered
  const { empty, failed, suspects, unread } = yield* sniff(db, search)
  if (record) {
    yield* db.sql`
      UPDATE ${db.id.referenceChecks} SET fingerprint = ${fingerprint}, suspects = ${JSON.stringify(suspects)}::text::jsonb,
        unread = ${JSON.stringify(unread)}::text::jsonb, empty_tables = ${JSON.stringify(empty)}::text::jsonb,
        sniffed_at = ${failed.length === 0 ? instant(now) : null}::timestamptz`
  }
  return foundOf(db, search.covered, suspects, { ...memory, unread: [...unread, ...failed] })
})

/** Samples and judges. A table that was locked or failed otherwise is tried again by the next sweep. */
const sniff = Effect.fnUntraced(function* (db: Sql, { blobs, digest, keys, ours }: Search) {
  const { names } = db
  const identities = yield* readIdentities(db, blobs)
  const columns = (yield* readColumns(db, blobs, ours)).filter(({ family }) => canHold(family, identities))
  const compared = (column: string, type: DigestType) => ({
    column,
    ...type,
    family: identities.find((one) => one.column === column)?.family ?? ("integer" as const)
  })
  const key = yield* readType(db, blobs, names.keyColumn)
  const shapes = yield* readShapes(db, compared(names.digestColumn, digest), compared(names.keyColumn, key))
  const holdsValues = (family: Identity["family"]) =>
    family !== "integer" &&
    (family === "text" || family === "container" ? (shapes.digest ?? shapes.key) : shapes.digest) !== null
  const byTable = Arr.groupBy(
    columns.filter(({ family }) => holdsValues(family)),
    ({ relid }) => relid
  )
  const tables = yield* readTables(db, Object.keys(byTable))
  const readable = tables.filter((table) => table.readable)
  const { failed, samples } = yield* sample(db, shapes, readable, ({ relid }) => byTable[relid] ?? [])
  const empty = readable.filter(
    ({ relid }) => !(byTable[relid] ?? []).some((column) => samples.has(sampleId(column)))
  )
  const found = suspectsOf({ names, keys, identities }, columns, (column) => samples.get(sampleId(column)))
  const others = new Set(found.length === 0 ? [] : yield* readBoundDigests(db))
  return {
    suspects: found.filter((suspect) => !others.has(entryOf(suspect))),
    unread: tables.filter((table) => !table.readable).map(({ name }) => name),
    failed: failed.map(({ name }) => name),
    // Without a blob no value can name one, so the first blobs make it look again.
    empty: Object.fromEntries([
      ...empty.map(({ inserted, relid }) => [relid, inserted]),
      ...(shapes.isEmpty ? [[blobs, yield* insertedInto(db, blobs)]] : [])
    ])
  }
})

const insertedInto = ({ sql }: Sql, relid: string) =>
  Effect.map(
    sql<{ inserted: string }>`SELECT pg_stat_get_tuples_inserted(${relid}::text::oid)::text AS inserted`,
    (rows) => rows[0]?.inserted ?? "0"
  )

const readType = ({ sql }: Sql, relid: string, column: string) =>
  Effect.map(
    sql<DigestType>`
      SELECT format_type(a.atttypid, a.atttypmod) AS type,
        coalesce(' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(c.collname), '') AS collate
      FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation
      LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
      WHERE a.attrelid = ${relid}::text::oid AND a.attname = ${column}`,
    (rows) => rows[0] ?? { type: "text", collate: "" }
  )

/** Returns the suspects that are not declared, as problems, and the entries that name no column. */
const foundOf = (
  { names }: Sql,
  covered: ReadonlyArray<string>,
  suspects: ReadonlyArray<Suspect>,
  { unknown, unread }: Pick<Recalled, "unknown" | "unread">
): Found => {
  const entries = names.notReferences ?? []
  const declared = new Set(
    [...entries, ...covered].flatMap((entry) => {
      const column = columnNameOf(entry, names.schema)
      return column === null ? [] : [entryOf(column)]
    })
  )
  const open = suspects.filter((suspect) => !declared.has(entryOf(suspect)))
  const all = [...entries.filter((entry) => !unknown.includes(entry)), ...open.map(entryOf)]
  return {
    undeclared: [
      ...unknown.map((entry) => unknownEntry(names.schema, entry)),
      ...open.map((one) => problemOf(names, one))
    ],
    hint:
      open.length === 0
        ? null
        : `If none of these columns is a reference to a blob, say so: CATALOG_NOT_REFERENCES=${all.join(",")}`,
    unread
  }
}

const unknownEntry = (schema: string, entry: string): SchemaProblem => {
  const column = columnNameOf(entry, schema)
  return {
    kind: "MissingColumn",
    table: column === null ? entry : `${column.schema}.${column.table}`,
    problem: `CATALOG_NOT_REFERENCES names ${entry}, and there is no such column`,
    fix: "Correct the name (table.column or schema.table.column), or remove it from CATALOG_NOT_REFERENCES."
  }
}

const problemOf = (names: Sql["names"], suspect: Suspect): SchemaProblem => {
  const { because, column, indexed, isWhole, partitioned, refers, schema, table } = suspect
  const target = qualified(schema, table)
  const referenced = `${qualified(names.schema, names.blobsTable)} (${quote(refers)})`
  // PostgreSQL before 18 refuses NOT VALID for a partitioned table, and each refuses CONCURRENTLY.
  const [notValid, concurrently] = partitioned ? ["", ""] : [" NOT VALID", " CONCURRENTLY"]
  const index = indexed ? "" : ` CREATE INDEX${concurrently} ON ${target} (${quote(column)});`
  const declare = `${entryOf(suspect)} in CATALOG_NOT_REFERENCES`
  return {
    kind: "UndeclaredReference",
    table: `${schema}.${table}`,
    problem: `column ${column} looks like a reference to blobs and has no foreign key: ${because}. Blobs that are referenced only there would be deleted`,
    fix: isWhole
      ? `ALTER TABLE ${target} ADD FOREIGN KEY (${quote(column)}) REFERENCES ${referenced}${notValid};${index} -- or, if it is no reference: ${declare}`
      : `No foreign key can hold a part of a text. Keep these references in a table with a foreign key to ${referenced}; or, if they are none: ${declare}`
  }
}
