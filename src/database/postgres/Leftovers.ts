/**
 * Objects that nothing knows: step S of docs/design/protocol.md, and where the listing stands.
 *
 * One collector lists at a time, by a lease; a lease that is lost only means that a page is looked at twice.
 */
import { Effect, Option } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { LeftoverScan, Leftovers } from "../Database.ts"
import { lockKeys } from "./Foreign.ts"
import { readTriggers } from "./foreign/Installed.ts"
import { instant, millis, type Session } from "./Session.ts"

interface Row {
  readonly pass: number
  readonly token: number
  readonly started_at: Date
  readonly position: string | null
  readonly listed: number
  readonly unowned: number
}

const toScan = (row: Row): LeftoverScan => ({
  pass: row.pass,
  token: row.token,
  startedAt: millis(row.started_at),
  after: row.position as ObjectKey | null,
  listed: row.listed,
  unowned: row.unowned
})

export const make = (session: Session): Leftovers => ({
  claim: (now, leaseUntil, everyMillis) =>
    session.verb("leftovers.claim", claim(session, now, leaseUntil, everyMillis)),
  journal: (now, objects, notBefore) =>
    session.verb("leftovers.journal", journalGuarded(session, now, objects, notBefore)),
  advance: (scan, to, now, leaseUntil) =>
    session.verb("leftovers.advance", advance(session, scan, to, now, leaseUntil)),
  yield: (scan) => session.verb("leftovers.yield", yieldLease(session, scan)),
  withdraw: (scan) => session.verb("leftovers.withdraw", withdraw(session, scan))
})

const leased = ({ sql }: Session, { token }: LeftoverScan) =>
  sql`name = 'leftovers' AND token = ${token}::bigint AND claimed_until IS NOT NULL`

/** An unfinished pass is gone on with; else a new one begins when it is time. */
const claim = ({ sql, raw, id }: Session, now: number, leaseUntil: number, everyMillis: number) => {
  const at = sql`${instant(now)}::timestamptz`
  const anew = (column: string, value: string) =>
    raw(`${column} = CASE WHEN l.ended_at IS NULL THEN l.${column} ELSE ${value} END`)
  return Effect.map(
    sql<Row>`
      INSERT INTO ${id.listings} AS l (name, pass, token, started_at, listed, unowned, claimed_until)
      VALUES ('leftovers', 1, 1, ${at}, 0, 0, ${instant(leaseUntil)}::timestamptz)
      ON CONFLICT (name) DO UPDATE SET token = l.token + 1, claimed_until = EXCLUDED.claimed_until,
        ${anew("pass", "l.pass + 1")}, ${anew("started_at", "EXCLUDED.started_at")},
        ${anew("position", "NULL")}, ${anew("listed", "0")}, ${anew("unowned", "0")}, ended_at = NULL
      WHERE (l.claimed_until IS NULL OR l.claimed_until <= ${at})
        AND (l.ended_at IS NULL OR l.started_at <= ${instant(now - everyMillis)}::timestamptz)
      RETURNING l.pass::float8 AS pass, l.token::float8 AS token, l.started_at, l.position,
        l.listed::float8 AS listed, l.unowned::float8 AS unowned`,
    (rows) => Option.map(Option.fromUndefinedOr(rows[0]), toScan)
  )
}

/**
 * Where foreign writers are guarded against, the key may be one that they use again: it is buried with its locks held,
 * and one that somebody is inserting is left for the next search. The lock on blobs keeps the guard what it is.
 */
const journalGuarded = (
  session: Session,
  now: number,
  objects: Parameters<Leftovers["journal"]>[1],
  notBefore: number
) => {
  const { sql, id } = session
  return session.transaction(
    Effect.gen(function* () {
      yield* sql`LOCK TABLE ${id.blobs} IN ROW EXCLUSIVE MODE`
      if ((yield* readTriggers(session)).length === 0) return yield* journal(session, now, objects, notBefore)
      const free = new Set(
        yield* lockKeys(
          session,
          objects.map(({ key }) => key)
        )
      )
      const journaled = yield* journal(
        session,
        now,
        objects.filter(({ key }) => free.has(key)),
        notBefore
      )
      yield* sql`
        INSERT INTO ${id.buriedKeys} (object_key, since)
        SELECT k, ${instant(now)}::timestamptz FROM unnest(${journaled}::text[]) k ORDER BY k ON CONFLICT DO NOTHING`
      return journaled
    })
  )
}

/**
 * One statement, so one snapshot: a key cannot hide in the instant in which publishing moves it from the intents to
 * the blobs, or an upload session takes it. Whoever calls has listed before.
 */
const journal = (
  { sql, id }: Session,
  now: number,
  objects: Parameters<Leftovers["journal"]>[1],
  notBefore: number
) =>
  Effect.map(
    sql<{ object_key: string }>`
      INSERT INTO ${id.journal} (object_key, size_bytes, reason, journaled_at, not_before)
      SELECT k, s, 'leftover', ${instant(now)}::timestamptz, ${instant(notBefore)}::timestamptz
      FROM unnest(${objects.map(({ key }) => key)}::text[],
        ${objects.map(({ sizeBytes }) => BigInt(sizeBytes))}::bigint[]) AS t (k, s)
      WHERE NOT EXISTS (SELECT FROM ${id.blobs} b WHERE b.${id.key} = k)
        AND NOT EXISTS (SELECT FROM ${id.intents} i WHERE i.object_key = k)
        AND NOT EXISTS (SELECT FROM ${id.uploadChunks} c WHERE c.object_key = k)
        AND NOT EXISTS (SELECT FROM ${id.journal} j WHERE j.object_key = k)
      ORDER BY k
      ON CONFLICT (object_key) DO NOTHING
      RETURNING object_key`,
    (rows): ReadonlyArray<ObjectKey> => rows.map((row) => row.object_key as ObjectKey)
  )

const advance = (
  session: Session,
  scan: LeftoverScan,
  to: Parameters<Leftovers["advance"]>[1],
  now: number,
  leaseUntil: number
) => {
  const { sql, id } = session
  const ended = to.after === null
  const settled = ended
    ? sql`ended_at = ${instant(now)}::timestamptz, claimed_until = NULL`
    : sql`claimed_until = ${instant(leaseUntil)}::timestamptz`
  return Effect.map(
    sql`
      UPDATE ${id.listings} SET position = ${to.after}::text, listed = ${to.listed}::bigint,
        unowned = ${to.unowned}::bigint, ${settled}
      WHERE ${leased(session, scan)} RETURNING 1 AS moved`,
    (rows) => rows.length > 0
  )
}

const yieldLease = (session: Session, scan: LeftoverScan) =>
  Effect.asVoid(
    session.sql`UPDATE ${session.id.listings} SET claimed_until = NULL WHERE ${leased(session, scan)}`
  )

const withdraw = (session: Session, scan: LeftoverScan) => {
  const { sql, id } = session
  return session.transaction(
    Effect.gen(function* () {
      const restarted = yield* sql`
        UPDATE ${id.listings} SET position = NULL, listed = 0, unowned = 0, claimed_until = NULL
        WHERE ${leased(session, scan)} RETURNING 1 AS restarted`
      if (restarted.length === 0) return 0
      const withdrawn = yield* sql`
        DELETE FROM ${id.journal} WHERE object_key = ANY(ARRAY(
          SELECT object_key FROM ${id.journal}
          WHERE reason = 'leftover' AND claimed_until IS NULL AND attempts = 0
          ORDER BY object_key FOR UPDATE SKIP LOCKED))
        RETURNING 1 AS withdrawn`
      return withdrawn.length
    })
  )
}
