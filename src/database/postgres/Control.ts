/** What operators tell all collectors. Each order is a row with its name: that of a setting, or the pause's. */
import { Effect } from "effect"
import type { Control, Orders, Override, Pause } from "../Database.ts"
import { instant, millis, type Sql } from "./Sql.ts"
import { on, verbs } from "./Verbs.ts"

/** The name of the pause's row. */
const pauseName = "pause"

/** Returns the verbs of control. */
export const make = (db: Sql): Control => {
  const plain = on(db)
  return verbs<Control>(db, "control", {
    orders: plain(orders),
    paused: plain(paused),
    pause: plain(pause),
    resume: plain(resume),
    set: plain(set),
    unset: plain(unset)
  })
}

interface Row {
  readonly name: string
  readonly value: string
  readonly reason: string | null
  readonly set_by: string
  readonly set_at: Date
  readonly expires_at: Date | null
}

const untilOf = ({ expires_at }: Row): number | null => (expires_at === null ? null : millis(expires_at))

const inForce = (rows: ReadonlyArray<Row>, now: number): ReadonlyArray<Row> =>
  rows.filter((row) => {
    const until = untilOf(row)
    return until === null || until > now
  })

/** The value of a pause's row is its reason. */
const pauseIn = (rows: ReadonlyArray<Row>, now: number): Pause | null => {
  const row = inForce(rows, now).find(({ name }) => name === pauseName)
  return row === undefined
    ? null
    : { since: millis(row.set_at), by: row.set_by, reason: row.value, until: untilOf(row) }
}

const overridesIn = (rows: ReadonlyArray<Row>, now: number): ReadonlyArray<Override> =>
  inForce(rows, now)
    .filter(({ name }) => name !== pauseName)
    .map((row) => ({
      name: row.name,
      value: row.value,
      since: millis(row.set_at),
      by: row.set_by,
      reason: row.reason ?? "",
      until: untilOf(row)
    }))

const orders = ({ sql, id }: Sql, now: number) =>
  Effect.map(
    sql<Row>`
      SELECT name, value, reason, set_by, set_at, expires_at FROM ${id.control} ORDER BY name COLLATE "C"`,
    (rows): Orders => ({ pause: pauseIn(rows, now), overrides: overridesIn(rows, now) })
  )

const paused = ({ sql, id }: Sql, now: number) =>
  Effect.map(
    sql<Row>`
      SELECT name, value, reason, set_by, set_at, expires_at FROM ${id.control} WHERE name = ${pauseName}`,
    (rows) => pauseIn(rows, now)
  )

const put = (
  { sql, id }: Sql,
  name: string,
  value: string,
  { by, reason, since, until }: { by: string; reason: string | null; since: number; until: number | null }
) =>
  Effect.asVoid(sql`
    INSERT INTO ${id.control} (name, value, reason, set_by, set_at, expires_at)
    VALUES (${name}, ${value}, ${reason}, ${by}, ${instant(since)}::timestamptz,
      ${until === null ? null : instant(until)}::timestamptz)
    ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, reason = EXCLUDED.reason,
      set_by = EXCLUDED.set_by, set_at = EXCLUDED.set_at, expires_at = EXCLUDED.expires_at`)

const pause = (db: Sql, { by, reason, since, until }: Pause) =>
  put(db, pauseName, reason, { by, reason: null, since, until })

const set = (db: Sql, { name, value, ...order }: Override) => put(db, name, value, order)

const taken = ({ sql, id }: Sql, name: string) =>
  sql<Row>`
    DELETE FROM ${id.control} WHERE name = ${name}
    RETURNING name, value, reason, set_by, set_at, expires_at`

const resume = (db: Sql, now: number) => Effect.map(taken(db, pauseName), (rows) => pauseIn(rows, now))

const unset = (db: Sql, name: string, now: number) =>
  Effect.map(taken(db, name), (rows) => overridesIn(rows, now)[0] ?? null)
