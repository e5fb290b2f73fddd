/** Instants that lie too far ahead, in PostgreSQL. Each is found by the last entry of an index, or in a small table. */
import { Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import { type InstantLimits, type Instants, journalMillis } from "../Database.ts"
import { instant, type Sql } from "./Sql.ts"
import { on, verbs } from "./Verbs.ts"

/** Returns the verbs of instants. */
export const make = (db: Sql): Instants => {
  const plain = on(db)
  return verbs<Instants>(db, "instants", { ahead: plain(ahead), correct: plain(correct) })
}

const limitsOf = (limits: InstantLimits) => {
  const { leaseMillis, now, toleranceMillis, uploadMillis } = limits
  return {
    present: instant(now + toleranceMillis),
    lease: instant(now + leaseMillis + toleranceMillis),
    upload: instant(now + uploadMillis + toleranceMillis),
    journal: instant(now + journalMillis(limits))
  }
}

const ahead = ({ sql, id }: Sql, given: InstantLimits) => {
  const { journal, lease, present } = limitsOf(given)
  const beyond = (table: string, newest: Statement.Fragment, limit: Date) =>
    sql`CASE WHEN (SELECT ${newest}) > ${limit}::timestamptz THEN ${table}::text END`
  return Effect.map(
    sql<{ tables: ReadonlyArray<string> }>`
      SELECT array_remove(ARRAY[
        ${beyond("breakers", sql`max(greatest(tripped_at, confirmed_at)) FROM ${id.breakers}`, present)},
        ${beyond("collectors", sql`max(seen_at) FROM ${id.collectors}`, present)},
        ${beyond("journal", sql`max(not_before) FROM ${id.journal} WHERE dead_at IS NULL`, journal)},
        ${beyond("listing_ranges", sql`max(claimed_until) FROM ${id.listingRanges}`, lease)},
        ${beyond("listings", sql`max(greatest(started_at, ended_at)) FROM ${id.listings}`, present)},
        ${beyond("orphans", sql`max(condemned_at) FROM ${id.orphans} WHERE condemned_at IS NOT NULL`, present)},
        ${beyond("scans", sql`max(started_at) FROM ${id.scans}`, present)},
        ${beyond("upload_sessions", sql`max(last_activity_at) FROM ${id.uploadSessions}`, present)}
      ], NULL) AS tables`,
    ([row]) => row?.tables ?? []
  )
}

/** Locks rows in the order of their keys and skips those that are held, so that it delays no other transaction. */
const correct = (db: Sql, given: InstantLimits) => {
  const { sql, id } = db
  const { journal, lease, present, upload } = limitsOf(given)
  const { deleteMillis, leftoverMillis, now, uploadMillis } = given
  const at = sql`${instant(now)}::timestamptz`
  const least = (column: Statement.Fragment) =>
    sql`${column} = CASE WHEN ${column} > ${present}::timestamptz THEN ${at} ELSE ${column} END`
  const [trippedAt, confirmedAt] = [sql`tripped_at`, sql`confirmed_at`]
  const [startedAt, endedAt] = [sql`started_at`, sql`ended_at`]
  const updates: Readonly<Record<string, Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>>> = {
    breakers: sql`
      UPDATE ${id.breakers} SET ${least(trippedAt)}, ${least(confirmedAt)}
      WHERE greatest(tripped_at, confirmed_at) > ${present}::timestamptz RETURNING 1 AS moved`,
    // Counts as at work for as long as its own settings say.
    collectors: sql`
      UPDATE ${id.collectors} SET seen_at = ${at}, expires_at = ${at} + (expires_at - seen_at)
      WHERE id = ANY(ARRAY(SELECT id FROM ${id.collectors} WHERE seen_at > ${present}::timestamptz
        ORDER BY id FOR UPDATE SKIP LOCKED)) RETURNING 1 AS moved`,
    // The whole wait again: its writer may be at work.
    intents: sql`
      UPDATE ${id.intents} SET expires_at = ${instant(now + uploadMillis)}::timestamptz
      WHERE object_key = ANY(ARRAY(SELECT object_key FROM ${id.intents} WHERE expires_at > ${upload}::timestamptz
        ORDER BY object_key FOR UPDATE SKIP LOCKED)) RETURNING 1 AS moved`,
    journal: sql`
      UPDATE ${id.journal} SET not_before = CASE WHEN reason = 'leftover'
        THEN ${instant(now + leftoverMillis)}::timestamptz ELSE ${instant(now + deleteMillis)}::timestamptz END
      WHERE object_key = ANY(ARRAY(SELECT object_key FROM ${id.journal}
        WHERE dead_at IS NULL AND not_before > ${journal}::timestamptz
        ORDER BY object_key FOR UPDATE SKIP LOCKED)) RETURNING 1 AS moved`,
    listings: sql`
      UPDATE ${id.listings} SET ${least(startedAt)}, ${least(endedAt)}
      WHERE greatest(started_at, ended_at) > ${present}::timestamptz RETURNING 1 AS moved`,
    listing_ranges: sql`
      UPDATE ${id.listingRanges} SET claimed_until = NULL
      WHERE claimed_until > ${lease}::timestamptz RETURNING 1 AS moved`,
    scans: sql`
      UPDATE ${id.scans} SET started_at = ${at} WHERE started_at > ${present}::timestamptz RETURNING 1 AS moved`,
    upload_sessions: sql`
      UPDATE ${id.uploadSessions} SET last_activity_at = ${at},
        lease_until = CASE WHEN lease_until > ${upload}::timestamptz THEN ${at} ELSE lease_until END
      WHERE id = ANY(ARRAY(SELECT id FROM ${id.uploadSessions} WHERE last_activity_at > ${present}::timestamptz
        ORDER BY id FOR UPDATE SKIP LOCKED)) RETURNING 1 AS moved`
  }
  return db.transaction(
    Effect.gen(function* () {
      const moved: Record<string, number> = {}
      for (const [table, update] of Object.entries(updates)) {
        const { length } = yield* update
        if (length > 0) moved[table] = length
      }
      return moved
    })
  )
}
