/**
 * Which columns look like references to blobs, by their names and by what a sample of their values holds.
 *
 * Few false alarms matter as much as no miss: a person who is asked about thirty columns declares all of them
 * unread. So a vague name (one that contains `digest`) is cleared by values that name no blob. A precise name
 * (that of a reference column, of the digest column, `<blob>_id`) is not: its table may hold nothing yet, and
 * its next row may refer to a blob hours before the next look.
 */
import type { CatalogNames, ColumnName } from "../../../domain/CatalogNames.ts"
import type { ForeignKey } from "../schema/ForeignKeys.ts"
import type { Column, Family, Identity } from "./Columns.ts"
import type { Sample } from "./Samples.ts"

/** A column that looks like a reference. Stored as it is. */
export interface Suspect extends ColumnName {
  /** Why, in words. */
  readonly because: string
  /** The column of blobs to which it seems to refer. */
  readonly refers: string
  /** A foreign key can hold the reference: it is a value of its own, not part of a text. */
  readonly isWhole: boolean
  readonly partitioned: boolean
  readonly indexed: boolean
}

/** What is known of the catalogue. */
export interface Known {
  readonly names: CatalogNames
  readonly keys: ReadonlyArray<Pick<ForeignKey, "column" | "referenced_column">>
  readonly identities: ReadonlyArray<Identity>
}

/** Names that say nothing of what a column refers to. */
const generic = new Set(["id", "uuid", "guid", "name", "key", "value", "code", "type", "path", "data"])

const vague = /digest|sha256|checksum|content_hash/i

/** Digests of secrets, which name no content. */
const secret = /password|passwd|passphrase|token|secret|session|remember|activation|otp|api_key|auth/i

/** So many values that name no blob clear a vague name. */
const enoughValues = 10

/** Returns the suspects among these columns. A column without a sample is judged by its name alone. */
export const suspectsOf = (
  known: Known,
  columns: ReadonlyArray<Column>,
  sampleOf: (column: Column) => Sample | undefined
): ReadonlyArray<Suspect> => {
  const catalogues = otherCatalogues(known.names, columns)
  return columns.flatMap((column) => {
    const sample = sampleOf(column)
    const named = catalogues.has(column.relid) ? null : byName(known, column, sample)
    const found = byValues(known, column, sample) ?? named
    if (found === null) return []
    const { schema, table, partitioned, indexed } = column
    return [{ schema, table, column: column.column, partitioned, indexed, ...found }]
  })
}

/**
 * Returns the tables of blobs of other catalogues: those with a digest column and a key column of the same names. Their
 * names say nothing. Values that name blobs of this catalogue do.
 */
const otherCatalogues = (names: CatalogNames, columns: ReadonlyArray<Column>): ReadonlySet<string> => {
  const having = (name: string) =>
    new Set(columns.flatMap(({ column, relid }) => (column === name ? [relid] : [])))
  const withKey = having(names.keyColumn)
  return new Set([...having(names.digestColumn)].filter((relid) => withKey.has(relid)))
}

type Verdict = Pick<Suspect, "because" | "refers" | "isWhole"> | null

const byValues = ({ names }: Known, { family }: Column, sample: Sample | undefined): Verdict => {
  if (sample === undefined || sample.digests + sample.keys === 0) return null
  const isDigest = sample.digests >= sample.keys
  const hits = isDigest ? sample.digests : sample.keys
  const isWhole = family !== "container" && (isDigest ? sample.wholeDigests : sample.wholeKeys) > 0
  const what = `${isDigest ? "the digest" : "the object key"} of a blob`
  return {
    because: `${hits} of ${sample.values} sampled values ${isWhole ? "are" : "contain"} ${what}`,
    refers: isDigest ? names.digestColumn : names.keyColumn,
    isWhole
  }
}

const byName = (known: Known, { column, family }: Column, sample: Sample | undefined): Verdict => {
  const { identities, keys, names } = known
  const fitting = (name: string) => identities.find((one) => one.column === name && one.family === family)
  const isPrecise = (name: string) => !generic.has(name) && name === column.toLowerCase()
  const key = keys.find((one) => isPrecise(one.column.toLowerCase()))
  if (key !== undefined && fitting(key.referenced_column) !== undefined) {
    return verdict("it bears the name of a column that refers to blobs", key.referenced_column)
  }
  const digest = fitting(names.digestColumn)
  if (digest !== undefined && isPrecise(names.digestColumn.toLowerCase())) {
    return verdict("it bears the name of the digest column", digest.column)
  }
  if (namesBlob(names.blobsTable, column)) {
    const identity = digest ?? identities.find((one) => one.family === family)
    if (identity !== undefined) return verdict("its name is that of a reference to a blob", identity.column)
  }
  const isCleared = secret.test(column) || (sample?.values ?? 0) >= enoughValues
  if (digest === undefined || family === "integer" || !vague.test(column) || isCleared) return null
  return verdict("its name is that of a digest, and it holds too few values to tell", digest.column)
}

const verdict = (because: string, refers: string): Verdict => ({ because, refers, isWhole: true })

/** `blob_id`, `source_blob_id` or `blob_uuid` where the table is `blobs` or `active_storage_blobs`. */
const namesBlob = (blobsTable: string, column: string): boolean => {
  const words = singular(blobsTable.toLowerCase()).split("_")
  const endings = words.map((_, index) => words.slice(index).join("_"))
  const name = column.toLowerCase()
  return endings.some((ending) =>
    ["id", "uuid"].some((kind) => name === `${ending}_${kind}` || name.endsWith(`_${ending}_${kind}`))
  )
}

const singular = (word: string): string => {
  if (word.endsWith("ies")) return `${word.slice(0, -3)}y`
  return word.endsWith("s") && !word.endsWith("ss") ? word.slice(0, -1) : word
}

/** Returns whether a value in a column of this family can name a blob. */
export const canHold = (family: Family, identities: ReadonlyArray<Identity>): boolean =>
  family === "text" || family === "container" || identities.some((one) => one.family === family)
