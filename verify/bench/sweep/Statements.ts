/**
 * The SQL of a sweep: the collector's statements for a catalogue with default names and two reference tables.
 * A rehearsal compares them with the statements that the collector executes (Sweep.ts), so they cannot drift.
 */

/** A statement or a part of one, with its parameters. */
export class Sql {
  readonly strings: ReadonlyArray<string>
  readonly parameters: ReadonlyArray<unknown>
  constructor(strings: ReadonlyArray<string>, parameters: ReadonlyArray<unknown>) {
    this.strings = strings
    this.parameters = parameters
  }
  /** The statement with numbered placeholders. */
  get text(): string {
    return this.strings.reduce((text, part, n) => `${text}$${n}${part}`)
  }
}

/** Makes a statement. Values become parameters, and parts are inserted. */
export const sql = (strings: TemplateStringsArray, ...values: ReadonlyArray<unknown>): Sql => {
  const parts: Array<string> = [strings[0] ?? ""]
  const parameters: Array<unknown> = []
  const append = (text: string) => parts.push((parts.pop() ?? "") + text)
  values.forEach((value, n) => {
    if (value instanceof Sql) {
      append(value.strings[0] ?? "")
      parts.push(...value.strings.slice(1))
      parameters.push(...value.parameters)
    } else {
      parts.push("")
      parameters.push(value)
    }
    append(strings[n + 1] ?? "")
  })
  return new Sql(parts, parameters)
}

/** Begins a transaction. */
export const begin = sql`BEGIN ISOLATION LEVEL READ COMMITTED`
const safePath = `pg_catalog.set_config('search_path', '"pg_catalog", "pg_temp"', true)`
const settings = `
  SELECT pg_catalog.set_config('artifact_gc.search_path', pg_catalog.current_setting('search_path'), true), ${safePath},
    pg_catalog.set_config('statement_timeout', '30000', true), pg_catalog.set_config('lock_timeout', '2000', true),
    pg_catalog.set_config('idle_in_transaction_session_timeout', '60000', true)`
const durably = `
    CASE WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) ANY ('{off,local}'::pg_catalog.text[])
      THEN pg_catalog.set_config('synchronous_commit', 'on', true) END, pg_catalog.pg_backend_pid() AS process`

/** Sets what a transaction needs. Every transaction of the collector executes it first. */
export const prepare = new Sql([`${settings}, ${durably}`], [])
/** The same, and makes the transaction use index ranges. The transactions that find orphans begin with it. */
export const prepareByIndex = new Sql(
  [
    `${settings}, pg_catalog.set_config('enable_seqscan', 'off', true),
    pg_catalog.set_config('enable_bitmapscan', 'off', true), pg_catalog.set_config('enable_nestloop', 'off', true),
    pg_catalog.set_config('jit', 'off', true), ${durably}`
  ],
  []
)
/** Pins the search path again after a statement that fires triggers of the host. */
export const pinPath = new Sql([`SELECT ${safePath}`], [])
/** Commits a transaction. */
export const commit = sql`COMMIT`

/** Statements of a transaction's own beginning and end, which the collector does not report. */
export const ofTransactions: ReadonlySet<Sql> = new Set([begin, prepare, prepareByIndex, pinPath, commit])

/** Locks the scan and reads its position. `firstPass` is null for the first slice. */
export const lockScan = (firstPass: number | null) =>
  firstPass === null
    ? sql`
      SELECT pass::float8 AS pass, position, coalesce(false, false) AS done
      FROM artifact_gc.scans WHERE name = 'orphans' FOR UPDATE`
    : sql`
      SELECT pass::float8 AS pass, position, coalesce(pass >= ${firstPass + 1}::bigint, false) AS done
      FROM artifact_gc.scans WHERE name = 'orphans' FOR UPDATE`

/** Reads the end of the next slice. */
export const pageAfter = (after: string | null, limit: number) => sql`
  WITH page AS MATERIALIZED (
    SELECT digest AS digest FROM public.blobs
    ${after === null ? sql`` : sql`WHERE digest > ${after}::text::text`} ORDER BY 1 LIMIT ${limit})
  SELECT (SELECT count(*) FROM page)::int AS blobs,
    (SELECT digest FROM page ORDER BY digest DESC LIMIT 1)::text AS up_to`

/** Moves the scan to the end of a slice. */
export const moveScan = (position: string | null) => sql`
  UPDATE artifact_gc.scans SET position = ${position}::text, pass = pass + ${position === null ? 1 : 0}::int
  WHERE name = 'orphans'`

/** A range of digests: after the first, up to the second. */
export interface Slice {
  readonly after: string | null
  readonly upTo: string | null
}

const within = ({ after, upTo }: Slice, column: "r.digest" | "p.digest" | "b.digest" | "o.digest") => {
  const name = new Sql([column], [])
  const lower = after === null ? sql`` : sql`AND ${name} > ${after}::text::text`
  const upper = upTo === null ? sql`` : sql`AND ${name} <= ${upTo}::text::text`
  return sql` ${lower} ${upper}`
}

/** The condition that no reference and no pin of blob `b` exists. */
export const unreferenced = (bound: (column: "r.digest" | "p.digest") => Sql) => sql`
  (NOT EXISTS (SELECT FROM public.artifacts r WHERE r.digest = b.digest${bound("r.digest")})
   AND NOT EXISTS (SELECT FROM public.local_files r WHERE r.digest = b.digest${bound("r.digest")})
   AND NOT EXISTS (SELECT FROM artifact_gc.pins p WHERE p.digest = b.digest${bound("p.digest")}))`

const clamped = (column: string) =>
  `least(greatest(b.${column}, timestamptz '1800-01-01 00:00:00+00'), timestamptz '9999-12-31 00:00:00+00')`

/** The last use of blob `b`, as the collector reads values that are out of range. */
export const usedAt = new Sql([`greatest(${clamped("created_at")}, ${clamped("last_used_at")})`], [])

/** The size of blob `b`, likewise. */
export const size = new Sql(
  [
    `CASE WHEN b.size_bytes BETWEEN 0 AND 9007199254740991 THEN b.size_bytes::bigint
      WHEN b.size_bytes::numeric = 'NaN' THEN 0 WHEN b.size_bytes > 0 THEN 9007199254740991 ELSE 0 END`
  ],
  []
)

/** Finds the orphans of a slice. */
export const find = (slice: Slice) => sql`
  WITH unreferenced AS MATERIALIZED (
    SELECT b.digest AS digest FROM public.blobs b
    WHERE ${unreferenced((column) => within(slice, column))} ${within(slice, "b.digest")})
  SELECT b.digest::text AS digest, ${size}::float8 AS size_bytes, ${usedAt} AS used_at, o.seen_at, o.condemned_at,
    o.cause, o.kept_until, octet_length(b.object_key) BETWEEN 1 AND 1024 AS has_object
  FROM unreferenced u
  CROSS JOIN LATERAL (SELECT * FROM public.blobs b WHERE b.digest = u.digest OFFSET 0) b
  LEFT JOIN LATERAL (SELECT * FROM artifact_gc.orphans o WHERE o.digest = u.digest OFFSET 0) o ON true
  ORDER BY u.digest`

/** Finds all orphans at once, as the simplest collector does. */
export const antiJoin = sql`
  SELECT digest, object_key FROM blobs b
  WHERE NOT EXISTS (SELECT FROM artifacts r WHERE r.digest = b.digest)
    AND NOT EXISTS (SELECT FROM local_files r WHERE r.digest = b.digest)`

/** The name of the sweep that condemns. The floor condemns no blob. */
const sweep = "floor"

const marked = (seen: ReadonlyArray<string>, condemned: ReadonlyArray<string>) => sql`
  marks AS MATERIALIZED (
    SELECT s::text COLLATE pg_catalog."C" AS digest, c IS NOT NULL AS doomed FROM unnest(${seen}::text[]) s
    LEFT JOIN unnest(${condemned}::text[]) c ON c = s)`

/** Updates the sightings of a slice. */
export const recordKnown = (
  slice: Slice,
  now: Date,
  seen: ReadonlyArray<string>,
  condemned: ReadonlyArray<string>
) => sql`
  WITH ${marked(seen, condemned)},
  held AS MATERIALIZED (
    SELECT o.digest, m.digest IS NULL AS stale FROM artifact_gc.orphans o LEFT JOIN marks m ON m.digest = o.digest
    WHERE (m.digest IS NULL OR (m.doomed AND o.condemned_at IS NULL)) ${within(slice, "o.digest")}
    FOR UPDATE OF o SKIP LOCKED),
  cleared AS (
    DELETE FROM artifact_gc.orphans o WHERE o.digest = ANY(ARRAY(SELECT digest FROM held WHERE stale)) RETURNING 1),
  condemned AS (
    UPDATE artifact_gc.orphans o SET condemned_at = ${now}::timestamptz, sweep = ${sweep}::text
    WHERE o.digest = ANY(ARRAY(SELECT digest FROM held WHERE NOT stale)))
  SELECT count(*)::int AS cleared FROM cleared`

/** Adds sightings. */
export const recordNew = (now: Date, seen: ReadonlyArray<string>, condemned: ReadonlyArray<string>) => sql`
  WITH ${marked(seen, condemned)}
  INSERT INTO artifact_gc.orphans (digest, seen_at, condemned_at, sweep)
  SELECT m.digest, ${now}::timestamptz, CASE WHEN m.doomed THEN ${now}::timestamptz END,
    CASE WHEN m.doomed THEN ${sweep}::text END FROM marks m
  WHERE NOT EXISTS (SELECT FROM artifact_gc.orphans o WHERE o.digest = m.digest)
    AND EXISTS (SELECT FROM public.blobs b WHERE b.digest = m.digest OFFSET 0)
  ORDER BY m.digest
  ON CONFLICT (digest) DO NOTHING`

/** Locks the table of blobs against changes of its schema. */
export const lockBlobs = sql`LOCK TABLE public.blobs IN ROW EXCLUSIVE MODE`

/** Reads the state of the table of blobs. */
export const catalogueTable = sql`
  SELECT t.oid::text AS oid, quote_ident(current_user) AS role, pg_is_in_recovery() AS standby,
    row_security_active(t.oid) AS rows_hidden,
    ARRAY(SELECT format('%I.%I', h.nspname, c.relname) FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace h ON h.oid = c.relnamespace
      WHERE i.inhparent = t.oid AND NOT c.relispartition ORDER BY 1) AS heirs
  FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
  WHERE n.nspname = ${"public"} AND t.relname = ${"blobs"} AND t.relkind IN ('r', 'p')`

/** Reads the foreign keys that refer to the table. */
export const fingerprint = (oid: string) => sql`
  SELECT coalesce(string_agg(concat_ws(':', k.oid, k.confdeltype, enforced, disabled), ',' ORDER BY k.oid), '')
    AS fingerprint
  FROM pg_constraint k, LATERAL (
    SELECT coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) AS enforced,
      EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgenabled NOT IN ('O', 'A')) AS disabled) s
  WHERE k.contype = 'f' AND k.confrelid = ${oid}::text::oid AND (k.conparentid = 0 OR s.disabled)`

/** Reads the triggers for unannounced writers. */
export const guardTriggers = sql`
  SELECT t.oid::text AS oid, n.nspname AS schema, c.relname AS table, t.tgname AS name, p.proname AS function,
    t.tgenabled IN ('O', 'A') AS enabled, t.tgparentid <> 0 AS inherited
  FROM pg_proc p JOIN pg_namespace own ON own.oid = p.pronamespace
  JOIN pg_trigger t ON t.tgfoid = p.oid
  JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE own.nspname = ${"artifact_gc"} AND starts_with(p.proname, ${"guard_"})
  ORDER BY t.oid`

/** Reads the breaker of the orphans. */
export const breaker = sql`
  SELECT name, tripped_at, confirmed_at, blobs::float8 AS blobs, bytes::float8 AS bytes,
    total_blobs::float8 AS total_blobs, total_bytes::float8 AS total_bytes
  FROM artifact_gc.breakers WHERE name = ${"orphans"}`

/** The position after a page of condemned blobs. */
export interface Cursor {
  readonly condemnedAt: Date
  readonly digest: string
}

/** Locks a page of condemned blobs. */
export const condemnedPage = (cutoff: Date, after: Cursor | null, limit: number) => sql`
  SELECT digest::text AS digest, condemned_at, cause FROM artifact_gc.orphans
  WHERE condemned_at <= ${cutoff}::timestamptz AND seen_at <= ${cutoff}::timestamptz
    ${after === null ? sql`` : sql`AND (condemned_at, digest) > (${after.condemnedAt}::timestamptz, ${after.digest}::text::text)`}
  ORDER BY condemned_at, digest LIMIT ${limit} FOR UPDATE SKIP LOCKED`

/** Locks the rows of a page. */
export const lockRows = (digests: ReadonlyArray<string>) => sql`
  SELECT digest::text AS digest FROM public.blobs
  WHERE digest = ANY(${digests}::text[]::text[]) ORDER BY digest FOR UPDATE SKIP LOCKED`

/** Deletes the rows that are still unreferenced, and journals their keys. */
export const deleteAndJournal = (
  digests: ReadonlyArray<string>,
  usedCutoff: Date,
  now: Date,
  leaseUntil: Date
) => sql`
  WITH dead AS (
    DELETE FROM public.blobs b
    WHERE b.digest = ANY(${digests}::text[]::text[])
      AND ${usedAt} <= ${usedCutoff}::timestamptz
      AND ${unreferenced(() => sql``)}
      AND octet_length(b.object_key) BETWEEN 1 AND 1024
      AND (SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('artifact_gc.search_path'), true)) IS NOT NULL
    RETURNING b.digest::text AS digest, b.object_key AS object_key, ${size} AS size_bytes),
  journaled AS (
    INSERT INTO artifact_gc.journal AS j (object_key, digest, size_bytes, reason, journaled_at, not_before,
      claimed_until, leases)
    SELECT object_key, digest, size_bytes, 'purged', ${now}::timestamptz, ${now}::timestamptz,
      ${leaseUntil}::timestamptz, ${1}::int
    FROM dead ORDER BY object_key
    ON CONFLICT (object_key) DO UPDATE SET digest = EXCLUDED.digest, size_bytes = EXCLUDED.size_bytes,
      reason = EXCLUDED.reason, journaled_at = EXCLUDED.journaled_at, not_before = EXCLUDED.not_before,
      claimed_until = EXCLUDED.claimed_until, leases = j.leases + EXCLUDED.leases, attempts = 0, last_error = NULL, dead_at = NULL
    RETURNING object_key)
  SELECT digest, object_key, size_bytes::float8 AS size_bytes FROM dead`

/** Deletes sightings. */
export const forget = (digests: ReadonlyArray<string>) =>
  sql`DELETE FROM artifact_gc.orphans WHERE digest = ANY(${digests}::text[]::text[])`

/** Deletes journal rows whose objects are deleted. No DELETE was sent twice. */
export const confirm = (keys: ReadonlyArray<string>) => sql`
  WITH struck AS (
    DELETE FROM artifact_gc.journal WHERE object_key = ANY(ARRAY(
      SELECT object_key FROM artifact_gc.journal WHERE object_key = ANY(${keys}::text[])
      ORDER BY object_key FOR UPDATE))
      AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
    RETURNING object_key, leases)
  UPDATE artifact_gc.buried_keys SET lasting = true
  WHERE object_key = ANY(ARRAY(SELECT object_key FROM struck WHERE leases <> 1 OR object_key = ANY(${[]}::text[])))`
