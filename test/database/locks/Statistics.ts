/** A catalogue that is large enough for the planner to choose, and what may be known of it. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { Arena, Session } from "../../fixtures/Arena.ts"

const count = 105_000
/** How many there were when the tables were analysed first, all at one end, but for one at the other. */
const early = 10_000
/** Nine in ten files name this one. */
const popular = 77_777

const tables = [
  ...["public.blobs", "public.artifacts", "public.local_files"],
  ...["artifact_registry.manifests", "artifact_registry.manifest_references"],
  ...["artifact_gc.pins", "artifact_gc.orphans", "artifact_gc.candidates"]
]

const isOrphan = (n: number) => n % 3 === 0 && n % 10 > 1 && n !== popular

export const made = {
  blobs: count,
  orphans: Array.from({ length: count }, (_, n) => n + 1).filter(isOrphan).length
}

const digestOf = `CREATE FUNCTION public.digest_of(n int) RETURNS text IMMUTABLE LANGUAGE sql AS $$
  SELECT 'sha256:' || CASE WHEN n < ${early} THEN '0000' || substr(h, 5) WHEN n = ${early} THEN repeat('f', 64) ELSE h END
  FROM encode(sha256(n::text::bytea), 'hex') h $$`

/** Blobs `from` to `upTo`, and what refers to two in three of them. */
const fill = (from: number, upTo: number): ReadonlyArray<string> => {
  const rows = `FROM generate_series(${from}, ${upTo}) n`
  return [
    `INSERT INTO public.blobs (digest, object_key, size_bytes, created_at, last_used_at)
     SELECT digest_of(n), 'blobs/' || n, 1, to_timestamp(0), to_timestamp(0) ${rows}`,
    `INSERT INTO public.artifacts (repository, name, digest, created_at)
     SELECT 'r' || n % 100, n::text, digest_of(n), to_timestamp(0) ${rows} WHERE n % 3 <> 0`,
    `INSERT INTO public.local_files (path, digest, created_at)
     SELECT n::text, digest_of(CASE WHEN n % 10 = 0 THEN n ELSE ${popular} END), to_timestamp(0) ${rows}`,
    `INSERT INTO artifact_registry.manifests (repository, digest, media_type, size_bytes)
     SELECT 'r', digest_of(n), 'm', 1 ${rows} WHERE n % 10 = 1`,
    `INSERT INTO artifact_registry.manifest_references (repository, manifest, digest, kind)
     SELECT 'r', digest_of(n), digest_of(n + 1), 'layer' ${rows} WHERE n % 10 = 1 AND n % 3 = 1 `,
    `INSERT INTO artifact_gc.pins (id, digest, expires_at)
     SELECT n::text, digest_of(n), to_timestamp(0) ${rows} WHERE n % 50 = 0`,
    `INSERT INTO artifact_gc.orphans (digest, seen_at) SELECT digest_of(n), to_timestamp(0) ${rows} WHERE n % 9 = 0`,
    `INSERT INTO artifact_gc.candidates (digest) SELECT digest_of(n) ${rows} WHERE n % 3 = 0`
  ]
}

const all = tables.join(", ")
const oids = `ANY ('{${tables.join(",")}}'::regclass[])`

/** Filled after it was analysed. Nobody but the test analyses or vacuums it. */
export const filled = Effect.fnUntraced(function* (a: Arena) {
  const session = yield* a.session
  const run = (statements: ReadonlyArray<string>) =>
    Effect.forEach(statements, (text) => session(text), { discard: true })
  yield* run([
    digestOf,
    // Foreign keys are checked row by row, and what is inserted here fulfils them.
    "SET session_replication_role = replica",
    ...tables.map((table) => `ALTER TABLE ${table} SET (autovacuum_enabled = false)`),
    ...tables.map((table) => `ALTER TABLE ${table} ALTER digest SET STATISTICS 10000`),
    ...fill(1, early),
    `ANALYZE ${all}`,
    ...fill(early + 1, count)
  ])
  return session
})

/** What the planner knows. */
export type Knowledge = "old, of tables that were never vacuumed" | "old" | "none" | "new" | "exaggerated"

/** Each is made of the one before. */
export const statistics = (
  session: Session
): ReadonlyArray<readonly [Knowledge, Effect.Effect<unknown, SqlError.SqlError>]> => [
  ["old, of tables that were never vacuumed", Effect.void],
  ["old", session(`VACUUM ${all}`)],
  [
    // As pg_upgrade leaves tables: vacuumed, and nothing is known of it.
    "none",
    Effect.andThen(
      session(`DELETE FROM pg_statistic WHERE starelid = ${oids}`),
      session(`UPDATE pg_class SET reltuples = -1, relpages = 0, relallvisible = 0 WHERE oid = ${oids}`)
    )
  ],
  ["new", session(`ANALYZE ${all}`)],
  // The number of pages it sees for itself, so what can be claimed is that each holds a thousand times as much.
  ["exaggerated", session(`UPDATE pg_class SET reltuples = reltuples * 1000 WHERE oid = ${oids}`)]
]
