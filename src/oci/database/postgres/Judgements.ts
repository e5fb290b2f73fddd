/**
 * What the rules last made of each repository. Each verb that writes locks the row of `retention` first, so that judgements of
 * other rules never mix.
 */
import { Effect } from "effect"
import type * as SqlError from "effect/sql/SqlError"
import { instant, millis, millisOrNull } from "../../../database/postgres/Sql.ts"
import { on, type Untranslated } from "../../../database/postgres/Verbs.ts"
import type {
  JudgedSums,
  Judgement,
  Judgements,
  JudgingProgress,
  OutdatedBy,
  PushedRepository
} from "../contract/Judgements.ts"
import type { RegistrySql } from "./RegistrySql.ts"

/** Returns what the verbs of judgements do. */
export const make = (db: RegistrySql): Untranslated<Judgements> => {
  const plain = on(db)
  return {
    begin: (...args) => db.transaction(begin(db, ...args)),
    note: (...args) => db.transaction(note(db, ...args)),
    pushes: plain(pushes),
    due: plain(due),
    sums: plain(sums),
    removable: plain(removable),
    count: plain(count)
  }
}

interface ProgressRow {
  readonly listed_to: string | null
  readonly looked_at: Date
}

const begin = Effect.fnUntraced(function* (
  { id, sql }: RegistrySql,
  now: number,
  key: string,
  { from, to }: { readonly from: number; readonly to: number }
): Effect.fn.Return<JudgingProgress, SqlError.SqlError> {
  const progress = ({ listed_to, looked_at }: ProgressRow) => ({
    listedTo: listed_to,
    lookedAt: millis(looked_at)
  })
  const [known] = yield* sql<ProgressRow>`
    SELECT listed_to, looked_at FROM ${id.retention}
    WHERE judging = ${key} AND looked_at BETWEEN ${instant(from)}::timestamptz AND ${instant(to)}::timestamptz`
  if (known !== undefined) return progress(known)
  const [anew] = yield* sql<ProgressRow>`
    INSERT INTO ${id.retention} AS r (id, judging, listed_to, looked_at) VALUES (1, ${key}, '', ${instant(now)}::timestamptz)
    ON CONFLICT (id) DO UPDATE SET judging = EXCLUDED.judging, listed_to = EXCLUDED.listed_to, looked_at = EXCLUDED.looked_at
    WHERE r.judging IS DISTINCT FROM EXCLUDED.judging
      OR r.looked_at NOT BETWEEN ${instant(from)}::timestamptz AND ${instant(to)}::timestamptz
    RETURNING listed_to, looked_at`
  if (anew !== undefined) {
    yield* sql`DELETE FROM ${id.retentionRepositories}`
    return progress(anew)
  }
  const [others] = yield* sql<ProgressRow>`SELECT listed_to, looked_at FROM ${id.retention}`
  return others === undefined ? { listedTo: "", lookedAt: now } : progress(others)
})

const note = Effect.fnUntraced(function* (
  { id, sql }: RegistrySql,
  now: number,
  key: string,
  judgements: ReadonlyArray<Judgement>,
  progress?: JudgingProgress
) {
  const own = yield* sql`SELECT FROM ${id.retention} WHERE judging = ${key} FOR UPDATE`
  if (own.length === 0) return false
  const gone = judgements.flatMap(({ repository, tags }) => (tags === 0 ? repository : []))
  const left = judgements.filter(({ tags }) => tags > 0)
  if (gone.length > 0)
    yield* sql`DELETE FROM ${id.retentionRepositories} WHERE repository = ANY(${gone}::text[])`
  if (left.length > 0)
    yield* sql`
      INSERT INTO ${id.retentionRepositories} (repository, judged_at, due_at, tags, removable, stricter, confirmed)
      SELECT r, ${instant(now)}::timestamptz, d, t, n, s, c FROM unnest(
        ${left.map(({ repository }) => repository)}::text[],
        ${left.map(({ dueAt }) => instant(dueAt).toISOString())}::text[]::timestamptz[],
        ${numbers(left, "tags")}::text[]::bigint[], ${numbers(left, "removable")}::text[]::bigint[],
        ${numbers(left, "stricter")}::text[]::bigint[], ${numbers(left, "confirmed")}::text[]::bigint[])
        AS j (r, d, t, n, s, c)
      ON CONFLICT (repository) DO UPDATE SET judged_at = EXCLUDED.judged_at, due_at = EXCLUDED.due_at,
        tags = EXCLUDED.tags, removable = EXCLUDED.removable, stricter = EXCLUDED.stricter, confirmed = EXCLUDED.confirmed`
  if (progress !== undefined)
    yield* sql`UPDATE ${id.retention} SET listed_to = ${progress.listedTo}::text,
      looked_at = ${instant(progress.lookedAt)}::timestamptz`
  return true
})

/** The driver sends no array of numbers that may be large. */
const numbers = (judgements: ReadonlyArray<Judgement>, name: keyof JudgedSums): ReadonlyArray<string> =>
  judgements.map((one) => String(one[name]))

/** Both halves are ranges of the index of pushes. */
const pushes = ({ id, sql }: RegistrySql, since: number) =>
  Effect.map(
    sql<{ repository: string; pushed: number; last_at: Date | null; judged_at: Date | null }>`
      SELECT p.repository, p.pushed::float8 AS pushed, p.last_at, j.judged_at FROM (
        SELECT repository, count(pushed_at) AS pushed, max(pushed_at) AS last_at FROM (
          SELECT repository, pushed_at FROM ${id.tags} WHERE pushed_at > ${instant(since)}::timestamptz
          UNION ALL
          SELECT repository, pushed_at FROM ${id.tags} WHERE pushed_at IS NULL) t
        GROUP BY repository) p
      LEFT JOIN ${id.retentionRepositories} j ON j.repository = p.repository
      ORDER BY p.repository`,
    (rows): ReadonlyArray<PushedRepository> =>
      rows.map(({ judged_at, last_at, pushed, repository }) => ({
        repository,
        pushed,
        lastAt: millisOrNull(last_at),
        judgedAt: millisOrNull(judged_at)
      }))
  )

/** Each part of the condition has an index of its own, so each is asked for by itself. */
const due = ({ id, raw, sql }: RegistrySql, { changedAt, now }: OutdatedBy, limit: number) => {
  const before = sql`judged_at < ${instant(now)}::timestamptz`
  const changed =
    changedAt === null
      ? raw("")
      : sql`UNION (SELECT due_at, repository FROM ${id.retentionRepositories}
          WHERE removable > 0 AND judged_at <= ${instant(changedAt)}::timestamptz AND ${before}
          ORDER BY repository LIMIT ${limit})`
  return Effect.map(
    sql<{ repository: string }>`
      SELECT repository FROM (
        (SELECT due_at, repository FROM ${id.retentionRepositories}
          WHERE due_at <= ${instant(now)}::timestamptz AND ${before} ORDER BY due_at, repository LIMIT ${limit})
        ${changed}) d ORDER BY due_at, repository LIMIT ${limit}`,
    (rows) => rows.map(({ repository }) => repository)
  )
}

/** One snapshot shows whose judgements they are, and their sums. */
const sums = ({ id, sql }: RegistrySql, key: string) =>
  Effect.map(
    sql<JudgedSums>`
      SELECT s.* FROM (
        SELECT coalesce(sum(tags), 0)::float8 AS tags, coalesce(sum(removable), 0)::float8 AS removable,
          coalesce(sum(stricter), 0)::float8 AS stricter, coalesce(sum(confirmed), 0)::float8 AS confirmed
        FROM ${id.retentionRepositories}) s
      WHERE EXISTS (SELECT FROM ${id.retention} WHERE judging = ${key})`,
    ([row]): JudgedSums | null => row ?? null
  )

const removable = ({ id, sql }: RegistrySql, key: string, after: string, limit: number) =>
  sql<{ repository: string; removable: number }>`
    SELECT repository, removable::float8 AS removable FROM ${id.retentionRepositories}
    WHERE removable > 0 AND repository > ${after}::text COLLATE "C"
      AND EXISTS (SELECT FROM ${id.retention} WHERE judging = ${key})
    ORDER BY repository LIMIT ${limit}`

const count = ({ id, sql }: RegistrySql, after: string, limit: number) =>
  Effect.map(
    sql<{ tags: number; last: string | null }>`
      WITH page AS MATERIALIZED (
        SELECT repository FROM ${id.retentionRepositories} WHERE repository > ${after}::text COLLATE "C"
        ORDER BY repository LIMIT ${limit})
      SELECT (SELECT max(repository) FROM page) AS last,
        (SELECT count(*) FROM ${id.tags} t WHERE t.repository IN (SELECT repository FROM page))::float8 AS tags`,
    ([row]) => row ?? { tags: 0, last: null }
  )
