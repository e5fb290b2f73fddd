/** The backlog. The tables hold garbage only, so counting costs in proportion to the garbage. */
import { Effect } from "effect"
import type { Backlog } from "../Database.ts"
import { canNameObject, sizeOf } from "./CatalogValues.ts"
import { instant, millis, type Sql } from "./Sql.ts"

interface Row {
  readonly waiting: number
  readonly candidates: number
  readonly condemned: number
  readonly condemned_bytes: number
  readonly journaled: number
  readonly journaled_bytes: number
  readonly journal_due: number
  readonly journal_due_bytes: number
  readonly dead_letters: number
  readonly intents: number
  readonly pins: number
  readonly oldest_seen_at: Date | null
  readonly oldest_condemned_at: Date | null
  readonly next_journal_at: Date | null
  readonly oldest_dead_at: Date | null
  readonly next_intent_at: Date | null
  readonly next_pin_at: Date | null
}

/** Counts and dates the rows that wait for a later sweep, in one snapshot. */
export const backlog = (db: Sql, now: number) => {
  const { sql, id } = db
  const atOrNull = (value: Date | null | undefined) =>
    value === null || value === undefined ? null : millis(value)
  // A blob without an object waits for a person, and would make the next item due for ever.
  const waits = sql`o.condemned_at IS NULL AND ${canNameObject(db)} IS NOT FALSE`
  return Effect.map(
    sql<Row>`
      SELECT o.*, j.*, i.*, p.*, (SELECT count(*) FROM ${id.candidates})::float8 AS candidates FROM (
        SELECT count(*) FILTER (WHERE ${waits})::float8 AS waiting,
          count(*) FILTER (WHERE o.condemned_at IS NOT NULL)::float8 AS condemned,
          coalesce(sum(${sizeOf(db)}) FILTER (WHERE o.condemned_at IS NOT NULL), 0)::float8 AS condemned_bytes,
          min(o.seen_at) FILTER (WHERE ${waits}) AS oldest_seen_at,
          min(o.condemned_at) AS oldest_condemned_at
        FROM ${id.orphans} o LEFT JOIN ${id.blobs} b ON b.${id.digest} = o.digest) o,
      (SELECT count(*)::float8 AS intents, min(expires_at) AS next_intent_at FROM ${id.intents}) i,
      (SELECT count(*)::float8 AS pins, min(expires_at) AS next_pin_at FROM ${id.pins}) p,
      (SELECT count(*) FILTER (WHERE dead_at IS NULL)::float8 AS journaled,
          coalesce(sum(size_bytes) FILTER (WHERE dead_at IS NULL), 0)::float8 AS journaled_bytes,
          count(*) FILTER (WHERE due)::float8 AS journal_due,
          coalesce(sum(size_bytes) FILTER (WHERE due), 0)::float8 AS journal_due_bytes,
          count(*) FILTER (WHERE dead_at IS NOT NULL)::float8 AS dead_letters,
          min(greatest(not_before, claimed_until)) FILTER (WHERE dead_at IS NULL) AS next_journal_at,
          min(dead_at) AS oldest_dead_at
        FROM (SELECT *, dead_at IS NULL AND greatest(not_before, claimed_until) <= ${instant(now)}::timestamptz AS due
          FROM ${id.journal}) rows) j`,
    (rows): Backlog => {
      const row = rows[0]
      return {
        waiting: row?.waiting ?? 0,
        candidates: row?.candidates ?? 0,
        condemned: row?.condemned ?? 0,
        condemnedBytes: row?.condemned_bytes ?? 0,
        journaled: row?.journaled ?? 0,
        journaledBytes: row?.journaled_bytes ?? 0,
        journalDue: row?.journal_due ?? 0,
        journalDueBytes: row?.journal_due_bytes ?? 0,
        deadLetters: row?.dead_letters ?? 0,
        intents: row?.intents ?? 0,
        pins: row?.pins ?? 0,
        oldestSeenAt: atOrNull(row?.oldest_seen_at),
        oldestCondemnedAt: atOrNull(row?.oldest_condemned_at),
        nextJournalAt: atOrNull(row?.next_journal_at),
        oldestDeadAt: atOrNull(row?.oldest_dead_at),
        nextIntentAt: atOrNull(row?.next_intent_at),
        nextPinAt: atOrNull(row?.next_pin_at)
      }
    }
  )
}
