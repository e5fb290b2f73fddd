/**
 * What retention rules ask of the database. A sweep waits for no lock here: it skips tags and manifests that a push has locked.
 */
import { Effect } from "effect"
import type * as SqlError from "effect/sql/SqlError"
import { instant, millis, millisOrNull } from "../../../database/postgres/Sql.ts"
import type { DigestType } from "../../../database/postgres/schema/DigestType.ts"
import { given, on, verbs } from "../../../database/postgres/Verbs.ts"
import type { Digest } from "../../../domain/Digest.ts"
import type {
  ListedManifest,
  Pull,
  RecordOptions,
  Retention,
  RetentionState,
  SettledKeys,
  TagUse
} from "../contract/Retention.ts"
import * as Judgements from "./Judgements.ts"
import { release } from "./ManifestRows.ts"
import type { RegistrySql } from "./RegistrySql.ts"
import { isInstalled } from "./RegistryTables.ts"

/** Returns the verbs of retention. */
export const make = (
  db: RegistrySql,
  digestType: Effect.Effect<DigestType, SqlError.SqlError>
): Retention => {
  const plain = on(db)
  const typed = given(db, digestType)
  return verbs<Retention>(db, "retention", {
    state: Effect.flatMap(isInstalled(db), (installed) => (installed ? state(db) : Effect.succeed(null))),
    propose: plain(propose),
    settle: plain(settle),
    ...Judgements.make(db),
    tags: plain(tags),
    date: (...args) => db.transaction(date(db, ...args)),
    record: typed((_, type, ...args: Parameters<Retention["record"]>) =>
      db.transaction(record(db, type, ...args))
    ),
    listed: typed(listed),
    untag: typed((_, type, ...args: Parameters<Retention["untag"]>) =>
      db.transaction(untag(db, type, ...args))
    )
  })
}

interface StateRow {
  readonly accepted: string | null
  readonly proposed: string | null
  readonly proposed_at: Date | null
  readonly judged_at: Date | null
  readonly pulls_since: Date | null
}

const state = ({ id, sql }: RegistrySql) =>
  Effect.map(
    sql<StateRow>`SELECT accepted, proposed, proposed_at, judged_at, pulls_since FROM ${id.retention}`,
    ([row]): RetentionState => ({
      accepted: row?.accepted ?? null,
      proposed: row?.proposed ?? null,
      proposedAt: millisOrNull(row?.proposed_at ?? null),
      judgedAt: millisOrNull(row?.judged_at ?? null),
      pullsSince: millisOrNull(row?.pulls_since ?? null)
    })
  )

const propose = ({ id, sql }: RegistrySql, now: number, rules: string) =>
  Effect.map(
    sql<{ proposed_at: Date }>`
      INSERT INTO ${id.retention} AS r (id, proposed, proposed_at)
      VALUES (1, ${rules}, ${instant(now)}::timestamptz)
      ON CONFLICT (id) DO UPDATE SET proposed = EXCLUDED.proposed, proposed_at =
        CASE WHEN r.proposed = EXCLUDED.proposed THEN r.proposed_at ELSE EXCLUDED.proposed_at END
      RETURNING proposed_at`,
    ([row]) => (row === undefined ? now : millis(row.proposed_at))
  )

const settle = ({ id, raw, sql }: RegistrySql, now: number, rules: string, keys?: SettledKeys) => {
  const renamed =
    keys === undefined ? raw("") : sql`, judging = ${keys.after} WHERE r.judging = ${keys.before}`
  return Effect.asVoid(sql`
    INSERT INTO ${id.retention} AS r (id, accepted, judged_at) VALUES (1, ${rules}, ${instant(now)}::timestamptz)
    ON CONFLICT (id) DO UPDATE SET accepted = EXCLUDED.accepted, judged_at = EXCLUDED.judged_at,
      proposed = NULL, proposed_at = NULL ${renamed}`)
}

interface TagRow {
  readonly repository: string
  readonly name: string
  readonly digest: string
  readonly pushed_at: Date | null
  readonly pulled_at: Date | null
}

/**
 * Reads no more rows than it returns: one repository after the other, each by its index, until the page is full. Asked for an
 * order over many repositories, the server would read and sort the tags of all of them for each page.
 */
const tags = Effect.fnUntraced(function* (
  { id, raw, sql }: RegistrySql,
  repositories: ReadonlyArray<string>,
  after: Pick<TagUse, "repository" | "name"> | null,
  limit: number
) {
  const names = [...new Set(repositories)]
    .filter((name) => after === null || name >= after.repository)
    .sort((a, b) => (a < b ? -1 : 1))
  const beyond = names.map((name) => (name === after?.repository ? after.name : ""))
  const page = (order: string) => sql<TagRow>`
    SELECT n.repository, t.name, t.digest, t.pushed_at, t.pulled_at
    FROM unnest(${names}::text[], ${beyond}::text[]) AS n (repository, beyond)
    CROSS JOIN LATERAL (
      SELECT name, digest::text AS digest, pushed_at, pulled_at FROM ${id.tags}
      WHERE repository = n.repository AND name > n.beyond COLLATE "C" ORDER BY name LIMIT ${limit}) t
    ${raw(order)} LIMIT ${limit}`
  const found = yield* page("")
  // The loop has the order of the names. The server promises none, so it is checked.
  const isOrdered = found.every((row, n) => isAfter(row, found[n - 1]))
  const rows = isOrdered ? found : yield* page('ORDER BY n.repository COLLATE "C", t.name')
  return rows.map(
    (row): TagUse => ({
      repository: row.repository,
      name: row.name,
      digest: row.digest as Digest,
      pushedAt: millisOrNull(row.pushed_at),
      pulledAt: millisOrNull(row.pulled_at)
    })
  )
})

const isAfter = (row: TagRow, before: TagRow | undefined): boolean =>
  before === undefined ||
  (row.repository === before.repository ? row.name > before.name : row.repository > before.repository)

const date = Effect.fnUntraced(function* (
  { id, sql }: RegistrySql,
  now: number,
  latest: number,
  named: ReadonlyArray<Pick<TagUse, "repository" | "name">>
) {
  const dated = yield* sql<{ unknown: boolean }>`
    UPDATE ${id.tags} t SET pushed_at = ${instant(now)}::timestamptz
    FROM (
      SELECT repository, name, pushed_at IS NULL AS unknown FROM ${id.tags}
      WHERE (repository, name) IN (SELECT r, n FROM unnest(
          ${named.map((one) => one.repository)}::text[], ${named.map((one) => one.name)}::text[]) AS w (r, n))
        AND (pushed_at IS NULL OR pushed_at > ${instant(latest)}::timestamptz)
      ORDER BY repository, name FOR UPDATE SKIP LOCKED) k
    WHERE t.repository = k.repository AND t.name = k.name RETURNING k.unknown`
  if (dated.some(({ unknown }) => unknown))
    yield* sql`UPDATE ${id.retention} SET pulls_since = greatest(pulls_since, ${instant(now)}::timestamptz)
      WHERE pulls_since IS NOT NULL`
  return dated.length
})

/** Locks the tags in the order of Manifests.ts, and takes no other lock, so it may wait for a push. */
const record = Effect.fnUntraced(function* (
  { id, raw, sql }: RegistrySql,
  type: DigestType,
  now: number,
  pulls: ReadonlyArray<Pull>,
  { everyMillis, isComplete }: RecordOptions
) {
  const columnsOf = (tag: "Tag" | "Digest") => {
    const own = pulls.filter(({ name }) => name._tag === tag)
    const names = own.map(({ name }) => (name._tag === "Tag" ? name.tag : name.digest))
    return sql`unnest(${own.map(({ repository }) => repository)}::text[], ${names}::text[],
      ${own.map(({ at }) => instant(at).toISOString())}::text[]::timestamptz[])`
  }
  yield* sql`
    WITH manifests AS MATERIALIZED (
      SELECT w.r, w.d::${raw(type.type)} AS d, w.at FROM ${columnsOf("Digest")} AS w (r, d, at)),
    pulled AS (
      SELECT w.r, w.n, w.at FROM ${columnsOf("Tag")} AS w (r, n, at)
      UNION ALL
      SELECT t.repository, t.name, m.at FROM manifests m
      JOIN ${id.tags} t ON t.repository = m.r AND t.digest = m.d
      UNION ALL
      SELECT t.repository, t.name, m.at FROM manifests m
      JOIN ${id.manifestReferences} f ON f.repository = m.r AND f.digest = m.d AND f.kind = 'manifest'
      JOIN ${id.tags} t ON t.repository = m.r AND t.digest = f.manifest),
    latest AS MATERIALIZED (SELECT r, n, max(at) AS at FROM pulled GROUP BY r, n),
    locked AS MATERIALIZED (
      SELECT t.repository, t.name, l.at FROM ${id.tags} t JOIN latest l ON t.repository = l.r AND t.name = l.n
      WHERE t.pulled_at IS NULL OR t.pulled_at <= l.at - ${everyMillis}::float8 * interval '1 millisecond'
      ORDER BY t.repository, t.name FOR UPDATE OF t)
    UPDATE ${id.tags} t SET pulled_at = k.at FROM locked k WHERE t.repository = k.repository AND t.name = k.name`
  const since = isComplete ? sql`coalesce(r.pulls_since, EXCLUDED.pulls_since)` : sql`EXCLUDED.pulls_since`
  yield* sql`
    INSERT INTO ${id.retention} AS r (id, pulls_since) VALUES (1, ${instant(now)}::timestamptz)
    ON CONFLICT (id) DO UPDATE SET pulls_since = ${since}
    WHERE ${isComplete ? sql`r.pulls_since IS NULL` : raw("true")}`
})

const listed = (
  { id, raw, sql }: RegistrySql,
  type: DigestType,
  manifests: ReadonlyArray<Pick<TagUse, "repository" | "digest">>
) =>
  Effect.map(
    sql<{ repository: string; digest: string; index: string }>`
      SELECT f.repository, f.digest::text AS digest, f.manifest::text AS index FROM (
        SELECT DISTINCT r, d::${raw(type.type)} AS d FROM unnest(
          ${manifests.map(({ repository }) => repository)}::text[],
          ${manifests.map(({ digest }) => digest)}::text[]) AS w (r, d)) w
      JOIN ${id.manifestReferences} f ON f.repository = w.r AND f.digest = w.d AND f.kind = 'manifest'
      ORDER BY f.repository, f.digest, f.manifest`,
    (rows): ReadonlyArray<ListedManifest> =>
      rows.map(({ digest, index, repository }) => ({
        repository,
        digest: digest as Digest,
        index: index as Digest
      }))
  )

/** Locks tags before manifests, as Manifests.ts says. A tag whose manifest is busy stays until the next sweep. */
const untag = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: DigestType,
  now: number,
  repository: string,
  judged: ReadonlyArray<TagUse>
) {
  const { id, raw, sql } = db
  // The driver sends no array of nulls.
  const time = (at: number | null) => (at === null ? "" : instant(at).toISOString())
  const unchanged = yield* sql<{ name: string; digest: string }>`
    SELECT t.name, t.digest::text AS digest FROM ${id.tags} t JOIN unnest(
      ${judged.map((tag) => tag.name)}::text[], ${judged.map((tag) => tag.digest)}::text[],
      ${judged.map((tag) => time(tag.pushedAt))}::text[],
      ${judged.map((tag) => time(tag.pulledAt))}::text[]) AS j (name, digest, pushed_at, pulled_at)
      ON t.name = j.name AND t.digest = j.digest::${raw(type.type)}
        AND t.pushed_at IS NOT DISTINCT FROM nullif(j.pushed_at, '')::timestamptz
        AND t.pulled_at IS NOT DISTINCT FROM nullif(j.pulled_at, '')::timestamptz
    WHERE t.repository = ${repository} ORDER BY t.name FOR UPDATE OF t SKIP LOCKED`
  const free = yield* sql<{ digest: string }>`
    SELECT m.digest::text AS digest FROM ${id.manifests} m
    WHERE m.repository = ${repository}
      AND m.digest = ANY(${unchanged.map(({ digest }) => digest)}::text[]::${raw(type.type)}[])
    ORDER BY m.digest FOR UPDATE SKIP LOCKED`
  const locked = new Set(free.map(({ digest }) => digest))
  const removed = yield* withoutListed(
    db,
    type,
    repository,
    unchanged.filter(({ digest }) => locked.has(digest))
  )
  if (removed.length === 0) return []
  const names = removed.map(({ name }) => name)
  yield* sql`DELETE FROM ${id.tags} WHERE repository = ${repository} AND name = ANY(${names}::text[])`
  const released = [...new Set(removed.map(({ digest }) => digest as Digest))]
  yield* release(
    db,
    type,
    now,
    released.map((digest) => ({ repository, digest })),
    "cascade"
  )
  return names
})

interface NamedTag {
  readonly name: string
  readonly digest: string
}

/**
 * Leaves out the tags of manifests that an index lists which has another tag. An index may have been pushed or tagged since the
 * tags were judged. No more are while the manifests are locked.
 */
const withoutListed = Effect.fnUntraced(function* (
  { id, raw, sql }: RegistrySql,
  type: DigestType,
  repository: string,
  tags: ReadonlyArray<NamedTag>
) {
  const cast = raw(type.type)
  let removed = tags
  for (let isSettled = false; !isSettled && removed.length > 0; ) {
    const listed: ReadonlyArray<{ digest: string }> = yield* sql<{ digest: string }>`
      SELECT DISTINCT r.digest::text AS digest FROM ${id.manifestReferences} r
      JOIN ${id.tags} t ON t.repository = r.repository AND t.digest = r.manifest
      WHERE r.repository = ${repository} AND r.kind = 'manifest'
        AND r.digest = ANY(${removed.map(({ digest }) => digest)}::text[]::${cast}[])
        AND t.name <> ALL(${removed.map(({ name }) => name)}::text[])`
    const kept = new Set(listed.map(({ digest }) => digest))
    removed = removed.filter(({ digest }) => !kept.has(digest))
    // A tag that stays may be that of an index.
    isSettled = kept.size === 0
  }
  return removed
})
