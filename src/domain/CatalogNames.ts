/** What an existing catalogue calls the things the collector needs. */

/** Names are taken as they are (case included) and quoted wherever they are used. */
export interface CatalogNames {
  readonly schema: string
  readonly blobsTable: string
  /**
   * Identity of a blob, unique. Text, or any type that PostgreSQL converts from and to text (`bytea`,
   * `uuid`).
   */
  readonly digestColumn: string
  /** Name of the blob's object in the store: text, unique, not null. */
  readonly keyColumn: string
  /** Bytes. */
  readonly sizeColumn: string
  /** Timestamp, not null. */
  readonly createdAtColumn: string
  /** Timestamp of the last upload or dedup hit; null where the catalogue keeps none. */
  readonly lastUsedAtColumn: string | null
  /** The schema of the collector's own tables. */
  readonly collectorSchema: string
  /** The schema of the OCI registry's manifests and tags, where there is one. */
  readonly registrySchema: string
}

/** The names `artifact-gc migrate` gives to a catalogue that it creates. */
export const defaultNames: CatalogNames = {
  schema: "public",
  blobsTable: "blobs",
  digestColumn: "digest",
  keyColumn: "object_key",
  sizeColumn: "size_bytes",
  createdAtColumn: "created_at",
  lastUsedAtColumn: "last_used_at",
  collectorSchema: "artifact_gc",
  registrySchema: "artifact_registry"
}
