/** The names of schemas, tables and columns in a catalogue. */

/** The names that the collector uses. They are case-sensitive, and quoted in every statement. */
export interface CatalogNames {
  /** Schema of the catalogue. */
  readonly schema: string
  /** Table with one row per blob. */
  readonly blobsTable: string
  /**
   * Column that identifies a blob, unique. Text, or any type that PostgreSQL converts from and to text
   * (`bytea`, `uuid`).
   */
  readonly digestColumn: string
  /** Column with the name of the blob's object in the store: text, unique, not null. */
  readonly keyColumn: string
  /** Column with the size in bytes. */
  readonly sizeColumn: string
  /** Column with the time of creation: timestamp, not null. */
  readonly createdAtColumn: string
  /** Column with the time of the last upload or dedup hit; null if the catalogue has none. */
  readonly lastUsedAtColumn: string | null
  /**
   * IANA name of the zone in which columns of type `timestamp without time zone` are written; null if the catalogue has
   * none.
   */
  readonly timeZone: string | null
  /** Schema of the collector's own tables. */
  readonly collectorSchema: string
  /** Schema of the OCI registry's manifests and tags, if there is a registry. */
  readonly registrySchema: string
  /**
   * Columns that look like references to blobs and are none, each `table.column` or `schema.table.column`.
   * Parts with other characters than letters, digits and underscores are in double quotes. Default: none.
   */
  readonly notReferences?: ReadonlyArray<string>
}

/** A column by its full name. */
export interface ColumnName {
  readonly schema: string
  readonly table: string
  readonly column: string
}

const part = /"((?:[^"]|"")+)"|([^".,]+)/

/** Returns the column that an entry of `notReferences` names, or null if it names none. */
export const columnNameOf = (entry: string, schema: string): ColumnName | null => {
  if (!new RegExp(`^(?:${part.source})(?:\\.(?:${part.source})){1,2}$`).test(entry)) return null
  const parts = [...entry.matchAll(new RegExp(part.source, "g"))].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain?.trim() ?? ""
  )
  const [column = "", table = "", own = schema] = parts.reverse()
  return { schema: own, table, column }
}

/** Returns the entry of `notReferences` for a column: always with its schema. */
export const entryOf = ({ column, schema, table }: ColumnName): string =>
  [schema, table, column]
    .map((name) => (/^\w+$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`))
    .join(".")

/** The names in a catalogue that `artifact-gc migrate` creates. */
export const defaultNames: CatalogNames = {
  schema: "public",
  blobsTable: "blobs",
  digestColumn: "digest",
  keyColumn: "object_key",
  sizeColumn: "size_bytes",
  createdAtColumn: "created_at",
  lastUsedAtColumn: "last_used_at",
  timeZone: null,
  collectorSchema: "artifact_gc",
  registrySchema: "artifact_registry"
}
