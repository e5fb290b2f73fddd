/**
 * The schema guard: reads from PostgreSQL's own catalogue what keeps blobs alive, and refuses a catalogue
 * that it cannot be safe on. It reads without needing any privilege, so that a missing privilege is reported
 * as a problem.
 *
 * The list of reference tables is never configured, and never cached beyond one sweep. A table that gains a
 * foreign key to blobs protects them from that moment on (docs/design/protocol.md, "References").
 */
import { Array as Arr, Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { CatalogNames } from "../../../domain/CatalogNames.ts"
import { type SchemaProblem, SchemaRefused } from "../../../domain/SchemaRefused.ts"
import type { ReferenceTable, Watch } from "../../Database.ts"
import { catalogueExisted } from "../Installation.ts"
import type { Sql } from "../Sql.ts"
import { fingerprint as fingerprintOf, readInstalled } from "../triggers/TriggerSet.ts"
import { triggerProblems, unannouncedWriters } from "../triggers/unannounced/UnannouncedWriters.ts"
import { watchOf } from "../triggers/watch/Watching.ts"
import { predicates, stages } from "../Unreferenced.ts"
import { catalogMissing, columnProblems, oidOf, readBlobsTable, tableProblems } from "./BlobsTable.ts"
import { type DigestType, digestTypeProblems } from "./DigestType.ts"
import { askKeysFingerprint, type ForeignKey, keyProblems } from "./ForeignKeys.ts"
import { generatedKeyProblems } from "./GeneratedKey.ts"
import { inheritanceProblems } from "./InheritedReferences.ts"
import * as Inspection from "./Inspection.ts"
import { accessProblems } from "./Privileges.ts"
import { timeZoneProblems, zonelessOf } from "./TimeZone.ts"

/** What the guard found, in the form that statements need. */
export interface Catalog {
  /** The oid of the table of blobs. */
  readonly oid: string
  /** The tables that refer to blobs, as reports name them. */
  readonly references: ReadonlyArray<ReferenceTable>
  /** The type of a digest. */
  readonly digest: DigestType
  /** The foreign keys to blobs, those that partitions inherit apart. */
  readonly keys: ReadonlyArray<ForeignKey>
  /**
   * Returns the condition that no reference to `b` and no pin on it exists. With a bound the sub-queries are
   * joins over a slice. Without one they are looked up for each `b`.
   */
  readonly referencePredicates: (
    bound?: (column: Statement.Fragment) => Statement.Fragment
  ) => Statement.Fragment
  /**
   * Returns common table expressions of which the last, `unreferenced`, holds as `digest` the blobs of a slice to which
   * nothing refers.
   */
  readonly unreferenced: (bound: (column: Statement.Fragment) => Statement.Fragment) => Statement.Fragment
  /** Whether triggers note losses of references. */
  readonly watch: Watch
  /** Whether triggers act against unannounced writers. Then every purge leaves a tombstone. */
  readonly unannouncedWriters: boolean
  /** The catalogue's table existed before the collector was installed beside it. */
  readonly catalogueExisted: boolean
  /**
   * Changes when a foreign key to blobs is added, dropped, changes its action on delete or is no longer
   * enforced. Changes also when a trigger against unannounced writers is created, dropped, enabled or
   * disabled.
   */
  readonly fingerprint: string
}

/** Tables of another part of the program in this database, which the guard judges with the collector's. */
export interface SchemaExtension {
  /** Returns the problems of the tables, if they were ever created. `role` is quoted. */
  readonly problems: (db: Sql, role: string) => Effect.Effect<ReadonlyArray<SchemaProblem>, SqlError.SqlError>
  /**
   * Returns the tables whose references are all foreign keys: no other column of them keeps a blob. Default:
   * none.
   */
  readonly tables?: (names: CatalogNames) => ReadonlyArray<readonly [schema: string, table: string]>
}

/**
 * Reads the catalogue. Fails with `SchemaRefused` and every problem found, not only the first. `hasSources`: reference
 * sources are asked, so no table need have a foreign key to blobs.
 */
export const inspect = Effect.fnUntraced(function* (
  db: Sql,
  extensions: ReadonlyArray<SchemaExtension>,
  hasSources = false
) {
  const { names } = db
  const found = yield* Inspection.read(db)
  if (found === null) return yield* new SchemaRefused({ problems: [catalogMissing(names)] })
  const { columns, guards: triggers, keys, table } = found
  const column = columns.find(({ name }) => name === names.digestColumn)
  const digest: DigestType = {
    type: column?.type ?? "text",
    collate: column?.collate ?? "",
    zoneless: zonelessOf(names, columns)
  }
  const declared = keys.filter((key) => !key.inherited)
  const references = { digest, keys: declared, partitions: keys.filter((key) => key.inherited) }
  const problems: ReadonlyArray<SchemaProblem> = [
    ...tableProblems(names, table),
    ...accessProblems(names, table.role, found.access, found.version),
    ...(yield* Effect.forEach(extensions, ({ problems }) => problems(db, table.role))).flat(),
    ...columnProblems(names, columns),
    ...(yield* timeZoneProblems(db, digest)),
    ...(column === undefined ? [] : digestTypeProblems(db, digest, found.ownTypes)),
    ...(keys.length === 0 && hasSources ? [] : keyProblems(names, table.role, keys)),
    ...inheritanceProblems(names, found.heirs),
    ...triggerProblems(names, references, triggers),
    ...(triggers.length === 0 ? [] : generatedKeyProblems(names, columns))
  ]
  if (Arr.isReadonlyArrayNonEmpty(problems)) return yield* new SchemaRefused({ problems })

  return {
    oid: table.oid,
    references: declared.map((key) => ({
      table: `${key.schema}.${key.table}`,
      column: key.column,
      constraint: key.constraint
    })),
    keys: declared,
    digest,
    referencePredicates: (bound) => predicates(db, declared, bound),
    unreferenced: (bound) => stages(db, declared, bound),
    watch: watchOf(names, references, found.watches),
    unannouncedWriters: triggers.length > 0,
    catalogueExisted: found.catalogueExisted ?? (yield* catalogueExisted(db)),
    fingerprint: `${found.keysFingerprint} ${fingerprintOf(triggers)}`
  } satisfies Catalog
})

/** Returns the present fingerprint, which the purge compares with the one found by `inspect`. */
export const currentFingerprint = Effect.fnUntraced(function* (db: Sql) {
  const table = yield* readBlobsTable(db)
  return table === null ? "" : yield* readFingerprint(db, table.oid)
})

const readFingerprint = (db: Sql, oid: string) =>
  Effect.zipWith(
    askKeysFingerprint(db, oidOf(db, oid)),
    readInstalled(db, unannouncedWriters),
    ([keys], triggers) => `${keys?.fingerprint ?? ""} ${fingerprintOf(triggers)}`
  )
