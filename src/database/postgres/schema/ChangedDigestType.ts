/**
 * The collector's tables store digests in the catalogue's type. This converts them where that type is another than
 * when they were made: names were wrong then, or the catalogue was altered since.
 *
 * The journal is not concerned, because it stores keys. Sightings and candidates are dropped, and the next scan finds
 * them again. Pins, doubts and tombstones are converted between types of text, which write a digest alike. Between
 * other types no conversion is known to be right, so an operator decides about them.
 */
import { Array as Arr, Effect } from "effect"
import type { SqlError } from "effect/sql"
import { SchemaRefused } from "../../../domain/SchemaRefused.ts"
import { qualified, type Sql } from "../Sql.ts"
import {
  type DigestType,
  digestTypeChanged,
  type OtherType,
  readDigestType,
  readOtherTypes
} from "./DigestType.ts"

const isText = ({ type }: DigestType): boolean => type === "text" || type.startsWith("character varying")

/** Tables whose rows are found again. */
const isFoundAgain = ({ table }: OtherType): boolean => table === "orphans" || table === "candidates"

const keeps: Readonly<Record<string, string>> = {
  pins: "pinned blobs then wait GC_GRACE and GC_QUARANTINE once more",
  suspects: "run a sweep before, which settles what is in doubt",
  tombstones: "let sweeps empty the journal before, with unannounced writers stopped"
}

/**
 * Gives the collector's tables the catalogue's type of digests, within the caller's transaction. Fails with
 * `SchemaRefused`, having changed nothing, if rows would have to be converted that cannot be.
 */
export const adaptDigestType = Effect.fnUntraced(function* (db: Sql) {
  const { sql, names } = db
  const digest = yield* readDigestType(db)
  if (digest === null) return
  const others = yield* readOtherTypes(db, digest)
  if (!Arr.isReadonlyArrayNonEmpty(others)) return
  const kept = others.filter((other) => !isFoundAgain(other) && !(isText(other) && isText(digest)))
  const filled = yield* Effect.filter(kept, (other) => Effect.map(hasRows(db, other), (has) => has))
  if (Arr.isReadonlyArrayNonEmpty(filled)) {
    return yield* new SchemaRefused({
      problems: Arr.map(filled, (other) => digestTypeChanged(db, digest, other, wayOut(db, other)))
    })
  }
  for (const other of others) {
    const table = qualified(names.collectorSchema, other.table)
    if (isFoundAgain(other)) yield* sql.unsafe(`TRUNCATE ${table}`)
    yield* sql.unsafe(
      `ALTER TABLE ${table} ALTER COLUMN digest TYPE ${digest.type}${digest.collate} USING digest::text::${digest.type}`
    )
  }
  // What waited in a queue is in none now, so a scan of everything is due. The position was of the other type.
  yield* sql`UPDATE ${db.id.scans} SET position = NULL, pass = pass + 1`
  if (others.some(({ table }) => table === "candidates")) {
    yield* sql`UPDATE ${db.id.scans} SET wanted = wanted + 1`
  }
  yield* Effect.logInfo(
    `The collector's tables store digests as ${digest.type} now, like the catalogue. Their sightings begin anew. Nothing else was lost.`
  )
})

const hasRows = ({ sql, names, raw }: Sql, { table }: OtherType): Effect.Effect<boolean, SqlError.SqlError> =>
  Effect.map(
    sql`SELECT 1 AS held FROM ${raw(qualified(names.collectorSchema, table))} LIMIT 1`,
    (rows) => rows.length > 0
  )

const wayOut = ({ names }: Sql, { table }: OtherType): string =>
  `Its rows cannot be converted. Stop writers and collectors (${keeps[table]}). Then: DELETE FROM ${qualified(names.collectorSchema, table)}; and run artifact-gc migrate again.`
