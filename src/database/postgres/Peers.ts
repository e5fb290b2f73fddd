/** The collectors that work on a catalogue, and how far the server's clock is from theirs. */
import { Clock, Effect } from "effect"
import type { Peer, PeerActivity, Peers } from "../Database.ts"
import { instant, millis, type Sql } from "./Sql.ts"
import { on, verbs } from "./Verbs.ts"

/** Returns the verbs of peers. */
export const make = (db: Sql): Peers => {
  const plain = on(db)
  return verbs<Peers>(db, "peers", {
    register: plain(register),
    tell: plain(tell),
    others: plain(others),
    leave: plain(leave)
  })
}

const register = Effect.fnUntraced(function* (
  db: Sql,
  now: number,
  expiresAt: number,
  self: Pick<Peer, "id" | "settings"> & { readonly activity?: PeerActivity }
) {
  const { sql, id } = db
  yield* sql`
    WITH expired AS (
      DELETE FROM ${id.collectors} WHERE id = ANY(ARRAY(
        SELECT id FROM ${id.collectors} WHERE expires_at <= ${instant(now)}::timestamptz AND id <> ${self.id}
        ORDER BY id FOR UPDATE SKIP LOCKED)))
    INSERT INTO ${id.collectors} AS old (id, seen_at, expires_at, settings, activity)
    VALUES (${self.id}, ${instant(now)}::timestamptz, ${instant(expiresAt)}::timestamptz,
      ${JSON.stringify(self.settings)}::text::jsonb,
      ${self.activity === undefined ? null : JSON.stringify(self.activity)}::text::jsonb)
    ON CONFLICT (id) DO UPDATE SET seen_at = EXCLUDED.seen_at, expires_at = EXCLUDED.expires_at,
      settings = EXCLUDED.settings, activity = coalesce(EXCLUDED.activity, old.activity)`
  // After the own row is committed: of two collectors that begin together, one sees the other.
  return yield* others(db, now, self.id)
})

const tell = ({ sql, id }: Sql, self: string, activity: PeerActivity, until: number | null) =>
  Effect.asVoid(sql`
    UPDATE ${id.collectors} SET activity = ${JSON.stringify(activity)}::text::jsonb,
      expires_at = greatest(expires_at, ${until === null ? null : instant(until)}::timestamptz)
    WHERE id = ${self}`)

interface Row extends Omit<Peer, "seenAt"> {
  readonly seen_at: Date
}

const others = ({ sql, id }: Sql, now: number, self: string) =>
  Effect.map(
    sql<Row>`
      SELECT id, seen_at, settings, activity FROM ${id.collectors}
      WHERE id <> ${self} AND expires_at > ${instant(now)}::timestamptz ORDER BY id COLLATE "C"`,
    (rows) => rows.map(({ seen_at, ...peer }): Peer => ({ ...peer, seenAt: millis(seen_at) }))
  )

const leave = ({ sql, id }: Sql, self: string) =>
  Effect.asVoid(sql`DELETE FROM ${id.collectors} WHERE id = ${self}`)

/** An answer that took no longer is exact enough: it is wrong by half of this at most. */
const exactWithinMillis = 20

/**
 * Measures the clocks' difference. Measures twice more in one transaction if the answer took long, because it may
 * have had to connect, and returns the quicker answer.
 */
export const skew = Effect.fnUntraced(function* (db: Sql) {
  const ask = Effect.gen(function* () {
    const before = yield* Clock.currentTimeMillis
    const [row] = yield* db.sql<{ at: number }>`
      SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS at`
    const after = yield* Clock.currentTimeMillis
    return { took: after - before, skew: Math.round((row?.at ?? before) - (before + after) / 2) }
  })
  const quick = yield* ask
  if (quick.took <= exactWithinMillis) return quick.skew
  const [first, second] = yield* db.transaction(Effect.all([ask, ask]))
  return second.took <= first.took ? second.skew : first.skew
})
