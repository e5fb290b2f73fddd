/** Copies of a whole database, for crashes and restores. */
import type { RegistryState } from "../../../src/oci/database/Memory.ts"

/** The content of a database at one moment. */
export interface Snapshot {
  readonly tables: ReadonlyMap<string, ReadonlyMap<unknown, unknown>>
  readonly candidates: RegistryState["candidates"]
  readonly scan: RegistryState["scan"]
  readonly listing: RegistryState["listing"]
  readonly binding: RegistryState["binding"]
}

const tablesOf = (rows: RegistryState) =>
  Object.entries(rows).filter((entry): entry is [string, Map<unknown, unknown>] => entry[1] instanceof Map)

/** Copies the database. Rows are never changed in place, so they are shared. */
export const take = (rows: RegistryState): Snapshot => ({
  tables: new Map(tablesOf(rows).map(([name, table]) => [name, new Map(table)])),
  candidates: [...rows.candidates],
  scan: { ...rows.scan },
  listing: rows.listing,
  binding: rows.binding
})

/** Makes the database what it was. Open transactions end. */
export const restore = (
  rows: RegistryState,
  { binding, candidates, listing, scan, tables }: Snapshot
): void => {
  for (const [name, table] of tablesOf(rows)) {
    table.clear()
    for (const [key, row] of tables.get(name) ?? []) table.set(key, row)
  }
  rows.candidates.splice(0, rows.candidates.length, ...candidates)
  Object.assign(rows.scan, scan)
  rows.listing = listing
  rows.binding = binding
  rows.transactions.clear()
}
