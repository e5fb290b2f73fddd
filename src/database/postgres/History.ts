/** The sweeps that ended. One statement adds a report, deletes old ones and updates the collector's row. */
import { Effect } from "effect"
import {
  type EndedSweep,
  type History,
  type HistoryEntry,
  historyBatch,
  historyMax,
  type PeerActivity
} from "../Database.ts"
import { instant, millis, type Sql } from "./Sql.ts"
import { on, verbs } from "./Verbs.ts"

/** Returns the verbs of the history. */
export const make = (db: Sql): History => {
  const plain = on(db)
  return verbs<History>(db, "history", { record: plain(record), page: plain(page) })
}

/**
 * The oldest reports are those with the smallest ids, so finding them reads the ends of the primary key alone.
 * Collectors that end together delete different ones.
 */
const record = ({ sql, id }: Sql, ended: EndedSweep, keepSince: number, activity: PeerActivity) => {
  const { collector, endedAt, report, startedAt, sweep } = ended
  return Effect.asVoid(sql`
    WITH oldest AS (
      SELECT id, ended_at FROM ${id.history} ORDER BY id LIMIT ${historyBatch} FOR UPDATE SKIP LOCKED),
    expired AS (
      DELETE FROM ${id.history} WHERE id = ANY(ARRAY(
        SELECT id FROM oldest WHERE ended_at < ${instant(keepSince)}::timestamptz
          OR id <= (SELECT max(id) + 1 FROM ${id.history}) - ${historyMax}::bigint))),
    told AS (
      UPDATE ${id.collectors} SET activity = ${JSON.stringify(activity)}::text::jsonb WHERE id = ${collector})
    INSERT INTO ${id.history} (sweep, collector, started_at, ended_at, outcome, report)
    VALUES (${sweep}, ${collector}, ${instant(startedAt)}::timestamptz, ${instant(endedAt)}::timestamptz,
      ${report.outcome}, ${JSON.stringify(report)}::text::jsonb)`)
}

interface Row {
  readonly id: number
  readonly sweep: string
  readonly collector: string
  readonly started_at: Date
  readonly ended_at: Date
  readonly outcome: string
  readonly report: unknown
}

const page = ({ sql, id }: Sql, since: number, before: number | null, limit: number) =>
  Effect.map(
    sql<Row>`
      SELECT id::float8 AS id, sweep, collector, started_at, ended_at, outcome, report FROM ${id.history}
      WHERE ended_at >= ${instant(since)}::timestamptz AND (${before}::bigint IS NULL OR id < ${before}::bigint)
      ORDER BY id DESC LIMIT ${limit}`,
    (rows) =>
      rows.map(
        ({ ended_at, started_at, ...row }): HistoryEntry => ({
          ...row,
          startedAt: millis(started_at),
          endedAt: millis(ended_at)
        })
      )
  )
