/**
 * Leftovers, and the position of the listing that finds them.
 *
 * A pass is one row of `listings`. Its ranges are rows of `listing_ranges`, each leased to one collector at
 * a time. A lost lease only means that a page is listed twice. Every verb locks the row of the pass before
 * it reads or writes a range, so that verbs cannot deadlock. A collector's journaling therefore ends before
 * another withdraws the pass, or does not begin.
 */
import { Effect, Option } from "effect"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { LeftoverCounts, LeftoverPlan, LeftoverScan, Leftovers } from "../Database.ts"
import { estimate } from "./Breakers.ts"
import { unlessIdle } from "./Idle.ts"
import { instant, millis, type Sql } from "./Sql.ts"
import { lockKeys } from "./triggers/unannounced/AdvisoryLocks.ts"
import { buryKeys, lasts } from "./triggers/unannounced/Tombstones.ts"
import { areInstalled } from "./triggers/unannounced/UnannouncedWriters.ts"
import { on, verbs } from "./Verbs.ts"

/** Returns the verbs of leftovers. */
export const make = (db: Sql): Leftovers => {
  const plain = on(db)
  return verbs<Leftovers>(db, "leftovers", {
    claim: unlessIdle(plain(claim), { isAny: plain(mayClaim), nothing: Option.none(), found: Option.isSome }),
    journal: plain(journalUnowned),
    advance: plain(advance),
    yield: plain(yieldLease),
    withdraw: plain(withdraw)
  })
}

const isLeftovers = "name = 'leftovers'"

/** Locks the row of the pass and returns whether `scan` still has its lease. */
const isLeased = (
  { sql, raw, id }: Sql,
  { token }: LeftoverScan,
  strength: "UPDATE" | "NO KEY UPDATE" | "KEY SHARE"
) =>
  Effect.gen(function* () {
    yield* sql`SELECT FROM ${id.listings} WHERE ${raw(isLeftovers)} FOR ${raw(strength)}`
    const rows = yield* sql`
      SELECT 1 AS leased FROM ${id.listingRanges}
      WHERE ${raw(isLeftovers)} AND token = ${token}::bigint AND claimed_until IS NOT NULL`
    return rows.length > 0
  })

interface PassRow {
  readonly pass: number
  readonly token: number
  readonly started_at: Date
  readonly listed: number
  readonly ended: boolean
}

interface RangeRow {
  readonly number: number
  readonly range_from: string | null
  readonly up_to: string | null
  readonly position: string | null
}

/** Returns a row if there is a range to lease, a pass to begin, or no pass yet. */
const mayClaim = ({ sql, raw, id }: Sql, now: number, _leaseUntil: number, plan: LeftoverPlan | null) => {
  const at = sql`${instant(now)}::timestamptz`
  const begins =
    plan === null
      ? sql`false`
      : sql`ended_at IS NOT NULL AND (pass = 0 OR started_at <= ${instant(now - plan.everyMillis)}::timestamptz)`
  return sql`
    SELECT 1 AS any WHERE NOT EXISTS (SELECT FROM ${id.listings} WHERE ${raw(isLeftovers)})
      OR EXISTS (SELECT FROM ${id.listings} WHERE ${raw(isLeftovers)} AND ${begins})
      OR EXISTS (SELECT FROM ${id.listingRanges} WHERE ${raw(isLeftovers)} AND ended_at IS NULL
        AND (claimed_until IS NULL OR claimed_until <= ${at}))`
}

/** Leases a range of the unfinished pass, or begins a new pass if one is due. */
const claim = (db: Sql, now: number, leaseUntil: number, plan: LeftoverPlan | null) => {
  const { sql, raw, id } = db
  return db.transaction(
    Effect.gen(function* () {
      // A pass number 0, so that there is a row to lock.
      yield* sql`
        INSERT INTO ${id.listings} (name, pass, token, started_at, listed, unowned, ended_at)
        VALUES ('leftovers', 0, 0, to_timestamp(0), 0, 0, to_timestamp(0)) ON CONFLICT (name) DO NOTHING`
      const [before] = yield* sql<PassRow>`
        SELECT pass::float8 AS pass, token::float8 AS token, started_at, listed::float8 AS listed,
          ended_at IS NOT NULL AS ended FROM ${id.listings} WHERE ${raw(isLeftovers)} FOR NO KEY UPDATE`
      if (before === undefined) return Option.none()
      const pass = before.ended ? yield* begin(db, now, before, plan) : before
      if (pass === null) return Option.none()
      const [range] = yield* sql<RangeRow>`
        SELECT number, range_from, up_to, position FROM ${id.listingRanges}
        WHERE ${raw(isLeftovers)} AND ended_at IS NULL
          AND (claimed_until IS NULL OR claimed_until <= ${instant(now)}::timestamptz)
        ORDER BY number LIMIT 1`
      if (range === undefined) return Option.none()
      const token = before.token + 1
      yield* sql`UPDATE ${id.listings} SET token = ${token}::bigint WHERE ${raw(isLeftovers)}`
      yield* sql`
        UPDATE ${id.listingRanges} SET token = ${token}::bigint, claimed_until = ${instant(leaseUntil)}::timestamptz
        WHERE ${raw(isLeftovers)} AND number = ${range.number}::int`
      return Option.some<LeftoverScan>({
        pass: pass.pass,
        token,
        startedAt: millis(pass.started_at),
        from: range.range_from as ObjectKey | null,
        upTo: range.up_to as ObjectKey | null,
        after: range.position as ObjectKey | null
      })
    })
  )
}

/** Begins the next pass, cut into ranges if there is much to list. Returns null if it is not due. */
const begin = Effect.fnUntraced(function* (db: Sql, now: number, before: PassRow, plan: LeftoverPlan | null) {
  const { sql, raw, id } = db
  const isFirst = before.pass === 0
  if (plan === null || !(isFirst || millis(before.started_at) <= now - plan.everyMillis)) return null
  // The planner's estimate is good enough: it only decides how many collectors may list at once.
  const isCut = before.listed >= plan.cutFrom || (yield* estimate(db)) >= plan.cutFrom
  const cuts = isCut ? plan.cuts : []
  const pass = before.pass + 1
  yield* sql`
    UPDATE ${id.listings} SET pass = ${pass}::bigint, started_at = ${instant(now)}::timestamptz, ended_at = NULL,
      listed = 0, unowned = 0 WHERE ${raw(isLeftovers)}`
  yield* sql`DELETE FROM ${id.listingRanges} WHERE ${raw(isLeftovers)}`
  yield* sql`
    INSERT INTO ${id.listingRanges} (name, number, range_from, up_to, token)
    SELECT 'leftovers', n, lag(c) OVER (ORDER BY n), c, 0 FROM (
      SELECT c, n FROM unnest(${cuts}::text[]) WITH ORDINALITY AS t (c, n)
      UNION ALL SELECT NULL, ${cuts.length + 1}::int) ends`
  return { pass, started_at: new Date(now) }
})

/**
 * Journals those of `objects` that nothing owns. Where triggers act against unannounced writers, these may
 * use the key again: it gets a tombstone while its lock is held, and a key that is being inserted is left
 * for the next search. The lock on blobs keeps the set of triggers from changing.
 */
export const journalUnowned = (
  db: Sql,
  now: number,
  objects: Parameters<Leftovers["journal"]>[1],
  notBefore: number,
  scan?: LeftoverScan
) => {
  const { sql, id } = db
  return db.transaction(
    Effect.gen(function* () {
      if (scan !== undefined && !(yield* isLeased(db, scan, "KEY SHARE"))) return []
      yield* sql`LOCK TABLE ${id.blobs} IN ROW EXCLUSIVE MODE`
      if (!(yield* areInstalled(db))) return yield* journal(db, now, objects, notBefore)
      const free = new Set(
        yield* lockKeys(
          db,
          objects.map(({ key }) => key)
        )
      )
      const journaled = yield* journal(
        db,
        now,
        objects.filter(({ key }) => free.has(key)),
        notBefore
      )
      yield* buryKeys(db, now, journaled)
      return journaled
    })
  )
}

/**
 * Asks all owners in one statement, so in one snapshot: publishing and upload sessions move a key from the
 * intents to another owner in one step, which no snapshot can miss. The caller has listed the objects
 * before.
 */
const journal = (
  { sql, id }: Sql,
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
  db: Sql,
  scan: LeftoverScan,
  to: Parameters<Leftovers["advance"]>[1],
  now: number,
  leaseUntil: number
) => {
  const { sql, raw, id } = db
  const at = sql`${instant(now)}::timestamptz`
  const settled =
    to.after === null
      ? sql`ended_at = ${at}, claimed_until = NULL`
      : sql`claimed_until = ${instant(leaseUntil)}::timestamptz`
  return db.transaction(
    Effect.gen(function* () {
      if (!(yield* isLeased(db, scan, "NO KEY UPDATE"))) return Option.none()
      yield* sql`
        UPDATE ${id.listingRanges} SET position = ${to.after}::text, ${settled}
        WHERE ${raw(isLeftovers)} AND token = ${scan.token}::bigint`
      const counts = yield* sql<LeftoverCounts>`
        UPDATE ${id.listings} SET listed = listed + ${to.listed}::bigint, unowned = unowned + ${to.unowned}::bigint,
          ended_at = CASE WHEN NOT EXISTS (
            SELECT FROM ${id.listingRanges} WHERE ${raw(isLeftovers)} AND ended_at IS NULL) THEN ${at} END
        WHERE ${raw(isLeftovers)} RETURNING listed::float8 AS listed, unowned::float8 AS unowned`
      return Option.fromUndefinedOr(counts[0])
    })
  )
}

const yieldLease = (db: Sql, scan: LeftoverScan) => {
  const { sql, raw, id } = db
  return db.transaction(
    Effect.gen(function* () {
      if (!(yield* isLeased(db, scan, "NO KEY UPDATE"))) return
      yield* sql`
        UPDATE ${id.listingRanges} SET claimed_until = NULL
        WHERE ${raw(isLeftovers)} AND token = ${scan.token}::bigint`
    })
  )
}

/**
 * Withdraws the pass. Waits for collectors that journal for other ranges, and takes their leftovers back,
 * too.
 */
const withdraw = (db: Sql, scan: LeftoverScan) => {
  const { sql, raw, id } = db
  return db.transaction(
    Effect.gen(function* () {
      if (!(yield* isLeased(db, scan, "UPDATE"))) return 0
      yield* sql`UPDATE ${id.listings} SET listed = 0, unowned = 0 WHERE ${raw(isLeftovers)}`
      yield* sql`
        UPDATE ${id.listingRanges} SET position = NULL, ended_at = NULL, claimed_until = NULL
        WHERE ${raw(isLeftovers)}`
      const withdrawn = yield* sql<{ count: number }>`
        WITH withdrawn AS (
          DELETE FROM ${id.journal} WHERE object_key = ANY(ARRAY(
            SELECT object_key FROM ${id.journal}
            WHERE reason = 'leftover' AND claimed_until IS NULL AND attempts = 0
            ORDER BY object_key FOR UPDATE SKIP LOCKED))
          RETURNING object_key, leases),
        lasting AS (${lasts(db, raw("withdrawn"), raw("leases > 0"))})
        SELECT count(*)::int AS count FROM withdrawn`
      return withdrawn[0]?.count ?? 0
    })
  )
}
