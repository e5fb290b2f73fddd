/** How much space the repositories use, in one statement with a short time-out of its own. */
import { Effect } from "effect"
import { sizeOf } from "../../../database/postgres/CatalogValues.ts"
import { verbs } from "../../../database/postgres/Verbs.ts"
import type { RepositorySize, Sizes } from "../contract/Sizes.ts"
import type { RegistrySql } from "./RegistrySql.ts"
import { isInstalled } from "./RegistryTables.ts"

/** Returns the verbs of sizes. */
export const make = (db: RegistrySql): Sizes =>
  verbs<Sizes>(
    db,
    "sizes",
    {
      largest: (limit, withinMillis) =>
        Effect.flatMap(isInstalled(db), (installed) =>
          installed
            ? db.transaction(largest(db, limit), {
                statement_timeout: String(withinMillis),
                transaction_read_only: "on",
                // One core at most, and no time to compile.
                max_parallel_workers_per_gather: "0",
                jit: "off"
              })
            : Effect.succeed([])
        )
    },
    { largest: "once" }
  )

/**
 * Sorts the pairs of blob and repository by blob, so that each blob tells whether another repository needs it. Manifests and
 * tags are counted by their primary keys, and only of the repositories that are returned.
 */
const largest = (db: RegistrySql, limit: number) => {
  const { id, sql } = db
  return sql<RepositorySize>`
  WITH used AS (
    SELECT repository, digest, count(*) OVER (PARTITION BY digest) > 1 AS shared FROM (
      SELECT repository, digest FROM ${id.manifests}
      UNION SELECT repository, digest FROM ${id.manifestReferences}) pairs),
  sizes AS (
    SELECT u.repository, sum(${sizeOf(db)})::float8 AS bytes,
      coalesce(sum(${sizeOf(db)}) FILTER (WHERE NOT u.shared), 0)::float8 AS freed
    FROM used u JOIN ${id.blobs} b ON b.${id.digest} = u.digest
    GROUP BY u.repository ORDER BY bytes DESC, u.repository LIMIT ${limit})
  SELECT s.repository, s.bytes, s.freed AS "freedBytes",
    (SELECT count(*) FROM ${id.manifests} m WHERE m.repository = s.repository)::float8 AS manifests,
    (SELECT count(*) FROM ${id.tags} t WHERE t.repository = s.repository)::float8 AS tags
  FROM sizes s ORDER BY s.bytes DESC, s.repository`
}
