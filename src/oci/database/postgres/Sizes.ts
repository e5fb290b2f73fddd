/**
 * How much space the repositories use. Pairs of blob and repository are read in the order of digests, a slice a statement, so
 * that no statement is long and none sorts more than a slice.
 *
 * All users of a blob are in one slice, so each slice knows by itself what its blobs would free. Digests are hashes, so the
 * slices that were read are a fair sample of all.
 */
import { Clock, Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import { sizeOf } from "../../../database/postgres/CatalogValues.ts"
import type { DigestType } from "../../../database/postgres/schema/DigestType.ts"
import { given, verbs } from "../../../database/postgres/Verbs.ts"
import type { LargestRepositories, RepositorySize, Sizes } from "../contract/Sizes.ts"
import type { RegistrySql } from "./RegistrySql.ts"
import { isInstalled } from "./RegistryTables.ts"

/** How much is read. */
export interface SliceLimits {
  /** References of a slice. A blob that more manifests need makes its slice longer. */
  readonly references: number
  /** Slices at most, beside the bound on their time. */
  readonly slices: number
}

/** A slice takes about a tenth of a second. */
const defaultLimits: SliceLimits = { references: 20_000, slices: Number.POSITIVE_INFINITY }

/** Returns the verbs of sizes. */
export const make = (
  db: RegistrySql,
  digestType: Effect.Effect<DigestType, SqlError.SqlError>,
  limits = defaultLimits
): Sizes =>
  verbs<Sizes>(
    db,
    "sizes",
    {
      largest: (limit, withinMillis) =>
        Effect.flatMap(isInstalled(db), (installed) =>
          installed
            ? given(db, digestType)(largest)(limit, withinMillis, limits)
            : Effect.succeed({ share: 1, repositories: [] })
        )
    },
    { largest: "once" }
  )

interface Sum {
  bytes: number
  freed: number
}

interface Slice {
  /** The last digest of the slice; null for the last slice. */
  readonly bound: string | null
  readonly sums: ReadonlyArray<Sum & { readonly repository: string }>
}

const largest = Effect.fnUntraced(function* (
  db: RegistrySql,
  { type }: DigestType,
  limit: number,
  withinMillis: number,
  { references, slices }: SliceLimits
): Effect.fn.Return<LargestRepositories, SqlError.SqlError> {
  const sums = new Map<string, Sum>()
  let after: string | null = null
  let spentMillis = 0
  let read = 0
  do {
    const began = yield* Clock.currentTimeMillis
    const slice: Slice = yield* bounded(db, withinMillis, readSlice(db, type, after, references))
    const took = (yield* Clock.currentTimeMillis) - began
    for (const { bytes, freed, repository } of slice.sums) {
      const sum = sums.get(repository) ?? { bytes: 0, freed: 0 }
      sums.set(repository, { bytes: sum.bytes + bytes, freed: sum.freed + freed })
    }
    after = slice.bound
    read += 1
    spentMillis += took
    // The database works for others at least half of the time.
    if (after !== null) yield* Effect.sleep(took)
  } while (after !== null && spentMillis < withinMillis && read < slices)
  const share = after === null ? 1 : shareUpTo(after)
  const top = [...sums]
    .sort(([a, one], [b, other]) => other.bytes - one.bytes || Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .slice(0, limit)
    .map(([repository, sum]) => ({ repository, ...sum }))
  const counted = yield* bounded(
    db,
    withinMillis,
    counts(
      db,
      top.map(({ repository }) => repository)
    )
  )
  return {
    share,
    repositories: top.map(
      ({ bytes, freed, repository }): RepositorySize => ({
        repository,
        manifests: counted.get(repository)?.manifests ?? 0,
        tags: counted.get(repository)?.tags ?? 0,
        bytes: Math.round(bytes / share),
        freedBytes: Math.round(freed / share)
      })
    )
  }
})

/** Runs a statement that only reads, with a short time-out, on one core, and without time to compile. */
const bounded = <A>(db: RegistrySql, withinMillis: number, effect: Effect.Effect<A, SqlError.SqlError>) =>
  db.transaction(effect, {
    statement_timeout: String(withinMillis),
    transaction_read_only: "on",
    max_parallel_workers_per_gather: "0",
    jit: "off"
  })

/** Returns the share of all hashes that are not above that of a digest. Never zero. */
const shareUpTo = (digest: string): number => {
  const hash = /:([0-9a-f]{8})/.exec(digest)?.[1]
  return hash === undefined ? 1 : (Number.parseInt(hash, 16) + 1) / 2 ** 32
}

/** Both tables are read by their indexes of digests. The range of blobs keeps the join from reading all of them. */
const readSlice = Effect.fnUntraced(function* (
  db: RegistrySql,
  type: string,
  after: string | null,
  references: number
) {
  const { id, raw, sql } = db
  const cast = raw(type)
  const from = (digest: Statement.Fragment) =>
    after === null ? raw("true") : sql`${digest} > ${after}::text::${cast}`
  const [end] = yield* sql<{ bound: string }>`
    SELECT r.digest::text AS bound FROM ${id.manifestReferences} r WHERE ${from(sql`r.digest`)}
    ORDER BY r.digest OFFSET ${references} LIMIT 1`
  const bound = end?.bound ?? null
  const within = (digest: Statement.Fragment) =>
    bound === null ? from(digest) : sql`${from(digest)} AND ${digest} <= ${bound}::text::${cast}`
  const sums = yield* sql<Slice["sums"][number]>`
    WITH used AS (
      SELECT repository, digest, count(*) OVER (PARTITION BY digest) > 1 AS shared FROM (
        SELECT m.repository, m.digest FROM ${id.manifests} m WHERE ${within(sql`m.digest`)}
        UNION SELECT r.repository, r.digest FROM ${id.manifestReferences} r WHERE ${within(sql`r.digest`)}) pairs)
    SELECT u.repository, sum(${sizeOf(db)})::float8 AS bytes,
      coalesce(sum(${sizeOf(db)}) FILTER (WHERE NOT u.shared), 0)::float8 AS freed
    FROM used u JOIN ${id.blobs} b ON b.${id.digest} = u.digest AND ${within(sql`b.${id.digest}`)}
    GROUP BY u.repository`
  return { bound, sums } satisfies Slice
})

interface Counts {
  readonly repository: string
  readonly manifests: number
  readonly tags: number
}

/** Counts manifests and tags by their primary keys. */
const counts = ({ id, sql }: RegistrySql, repositories: ReadonlyArray<string>) =>
  Effect.map(
    sql<Counts>`
      SELECT s.repository,
        (SELECT count(*) FROM ${id.manifests} m WHERE m.repository = s.repository)::float8 AS manifests,
        (SELECT count(*) FROM ${id.tags} t WHERE t.repository = s.repository)::float8 AS tags
      FROM unnest(${repositories}::text[]) s (repository)`,
    (rows): ReadonlyMap<string, Counts> => new Map(rows.map((row) => [row.repository, row]))
  )
