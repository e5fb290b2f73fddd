/**
 * The advisory locks of digests and object keys. The triggers take them shared, a purge and a search for
 * leftovers exclusively, so that no tombstone is written between a trigger's look and the commit of its row.
 */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { ObjectKey } from "../../../../domain/ObjectKey.ts"
import type { Sql } from "../../Sql.ts"
import type { DigestType } from "../../schema/DigestType.ts"

/**
 * How many locks digests share. A writer holds all its locks until its transaction ends, and PostgreSQL has
 * room for 6400 by default, which an insert of a million rows must not exhaust. A purge skips digests whose
 * lock is taken, so sharing costs it a thousandth of its page for each digest that is being inserted.
 */
const buckets = 1024

/** The first number tells these locks from others, and has no other meaning. */
const lockOf = (kind: 0 | 1, hash: string): string =>
  `${582_130_941 + kind}, ((${hash}) OPERATOR(pg_catalog.&) ${buckets - 1}::bigint)::int`

/**
 * Returns the lock of a digest, as arguments of PostgreSQL's functions.
 *
 * Digests that PostgreSQL treats as equal have the same lock, whatever the session's settings are. The text
 * of a `bytea` depends on `bytea_output`, so only text is hashed as text, under the column's own collation.
 */
export const digestLock = ({ type, collate }: DigestType, expression: string): string =>
  /^(text|character)\b/.test(type)
    ? lockOf(0, `pg_catalog.hashtextextended((${expression})::text${collate}, 0::bigint)`)
    : lockOf(0, `pg_catalog.hash_record_extended(ROW((${expression})::${type}), 0::bigint)`)

/** Returns the lock of an object key, as arguments of PostgreSQL's functions. */
export const keyLock = (expression: string): string =>
  lockOf(1, `pg_catalog.hashtextextended((${expression})::text COLLATE "C", 0::bigint)`)

/**
 * Locks each of `digests` that no unannounced writer is inserting, until the end of the transaction, and
 * returns those. They must be read in the next statement, whose snapshot is newer than the locks.
 */
export const lockDigests = (
  { sql, raw }: Sql,
  type: DigestType,
  digests: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, SqlError.SqlError> =>
  digests.length === 0
    ? Effect.succeed([])
    : Effect.map(
        sql<{ digest: string }>`
          SELECT d AS digest FROM unnest(${digests}::text[]) d
          WHERE pg_try_advisory_xact_lock(${raw(digestLock(type, `d::${type.type}`))})`,
        (rows) => rows.map((row) => row.digest)
      )

/**
 * Locks each of `keys` that no unannounced writer is inserting, until the end of the transaction, and returns
 * those.
 */
export const lockKeys = (
  { sql, raw }: Sql,
  keys: ReadonlyArray<ObjectKey>
): Effect.Effect<ReadonlyArray<ObjectKey>, SqlError.SqlError> =>
  Effect.map(
    sql<{ key: string }>`
      SELECT k AS key FROM unnest(${keys}::text[]) k WHERE pg_try_advisory_xact_lock(${raw(keyLock("k"))})`,
    (rows) => rows.map((row) => row.key as ObjectKey)
  )
