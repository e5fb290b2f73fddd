/** What operators tell all collectors. Each order is a row with its name. */
import { Effect } from "effect"
import type { Control, Pause } from "../Database.ts"
import { instant, millis, type Sql } from "./Sql.ts"
import { on, verbs } from "./Verbs.ts"

/** The name of the pause's row. */
const pauseName = "pause"

/** Returns the verbs of control. */
export const make = (db: Sql): Control => {
  const plain = on(db)
  return verbs<Control>(db, "control", {
    paused: plain(paused),
    pause: plain(pause),
    resume: plain(resume)
  })
}

interface Row {
  readonly value: string
  readonly set_by: string
  readonly set_at: Date
  readonly expires_at: Date | null
}

const pauseIn = (rows: ReadonlyArray<Row>, now: number): Pause | null => {
  const [row] = rows
  if (row === undefined) return null
  const until = row.expires_at === null ? null : millis(row.expires_at)
  return until !== null && until <= now
    ? null
    : { since: millis(row.set_at), by: row.set_by, reason: row.value, until }
}

const paused = ({ sql, id }: Sql, now: number) =>
  Effect.map(
    sql<Row>`SELECT value, set_by, set_at, expires_at FROM ${id.control} WHERE name = ${pauseName}`,
    (rows) => pauseIn(rows, now)
  )

const pause = ({ sql, id }: Sql, { by, reason, since, until }: Pause) =>
  Effect.asVoid(sql`
    INSERT INTO ${id.control} (name, value, set_by, set_at, expires_at)
    VALUES (${pauseName}, ${reason}, ${by}, ${instant(since)}::timestamptz, ${until === null ? null : instant(until)}::timestamptz)
    ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, set_by = EXCLUDED.set_by,
      set_at = EXCLUDED.set_at, expires_at = EXCLUDED.expires_at`)

const resume = ({ sql, id }: Sql, now: number) =>
  Effect.map(
    sql<Row>`DELETE FROM ${id.control} WHERE name = ${pauseName} RETURNING value, set_by, set_at, expires_at`,
    (rows) => pauseIn(rows, now)
  )
