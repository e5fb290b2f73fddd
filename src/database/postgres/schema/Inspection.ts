/**
 * What the schema guard reads. One statement reads all of it, in one snapshot. Where the server refuses that
 * statement, for a missing table or a missing privilege, statements that need no privilege read it one after
 * the other, and the guard names what is missing.
 */
import { Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import { isRefusal } from "../Errors.ts"
import { askInstallation } from "../Installation.ts"
import type { Sql } from "../Sql.ts"
import { together } from "../Together.ts"
import { type InstalledTrigger, readInstalled } from "../triggers/TriggerSet.ts"
import { unannouncedWriters } from "../triggers/unannounced/UnannouncedWriters.ts"
import { watchedReferences } from "../triggers/watch/Watching.ts"
import { askBlobsTable, type BlobsTable, type Column, oidOf, readColumns } from "./BlobsTable.ts"
import { askOwnTypes, type OtherType } from "./DigestType.ts"
import { askKeysFingerprint, type ForeignKey, readForeignKeys } from "./ForeignKeys.ts"
import { type InheritingTable, readInheritingTables } from "./InheritedReferences.ts"
import { type Access, askVersion, readAccess, readVersion } from "./Privileges.ts"

/** What was read. */
export interface Inspection {
  readonly table: BlobsTable
  /** Changes with the foreign keys to blobs. */
  readonly keysFingerprint: string
  readonly columns: ReadonlyArray<Column>
  readonly keys: ReadonlyArray<ForeignKey>
  readonly heirs: ReadonlyArray<InheritingTable>
  /** The triggers against unannounced writers. */
  readonly guards: ReadonlyArray<InstalledTrigger>
  /** The triggers that watch references. */
  readonly watches: ReadonlyArray<InstalledTrigger>
  readonly access: ReadonlyArray<Access>
  /** The newest migration; null where the role cannot read it. */
  readonly version: number | null
  readonly ownTypes: ReadonlyArray<OtherType>
  /** The catalogue's table existed before the collector; null where that was not read. */
  readonly catalogueExisted: boolean | null
}

/** Reads all of it. Returns null if there is no table of blobs. */
export const read = (db: Sql): Effect.Effect<Inspection | null, SqlError.SqlError> =>
  Effect.catchIf(readTogether(db), isRefusal, () => db.transaction(readOneByOne(db)))

const ofTable = (db: Sql, oid: Statement.Fragment) => ({
  fingerprint: askKeysFingerprint(db, oid),
  columns: readColumns(db, oid),
  keys: readForeignKeys(db, oid),
  heirs: readInheritingTables(db, oid)
})

const readTogether = (db: Sql) => {
  const { sql } = db
  return Effect.map(
    together(
      db,
      {
        table: sql<BlobsTable>`SELECT * FROM blobs_table`,
        ...ofTable(db, sql`(SELECT oid::oid FROM blobs_table)`),
        guards: readInstalled(db, unannouncedWriters),
        watches: readInstalled(db, watchedReferences),
        access: readAccess(db),
        version: askVersion(db),
        ownTypes: askOwnTypes(db),
        installation: askInstallation(db)
      },
      sql`WITH blobs_table AS MATERIALIZED (${askBlobsTable(db)})`
    ),
    ({ fingerprint, installation, table, version, ...rest }): Inspection | null =>
      table[0] === undefined
        ? null
        : {
            ...rest,
            table: table[0],
            keysFingerprint: fingerprint[0]?.fingerprint ?? "",
            version: version[0]?.id ?? 0,
            catalogueExisted: installation[0]?.existed ?? true
          }
  )
}

const readOneByOne = Effect.fnUntraced(function* (db: Sql) {
  const [table] = yield* askBlobsTable(db)
  if (table === undefined) return null
  const { columns, fingerprint, heirs, keys } = ofTable(db, oidOf(db, table.oid))
  return {
    table,
    // Before the keys: if one is added in between, the next purge sees a change instead of missing the key.
    keysFingerprint: (yield* fingerprint)[0]?.fingerprint ?? "",
    guards: yield* readInstalled(db, unannouncedWriters),
    columns: yield* columns,
    keys: yield* keys,
    access: yield* readAccess(db),
    version: yield* readVersion(db),
    ownTypes: yield* askOwnTypes(db),
    heirs: yield* heirs,
    watches: yield* readInstalled(db, watchedReferences),
    catalogueExisted: null
  } satisfies Inspection as Inspection
})
