/** What is read for people only is bounded by a time-out of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { make } from "../../../src/database/postgres/Sql.ts"
import { cachedDigestType } from "../../../src/database/postgres/schema/DigestType.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import type { RepositorySize } from "../../../src/oci/database/contract/Sizes.ts"
import { registrySql } from "../../../src/oci/database/postgres/RegistrySql.ts"
import * as Sizes from "../../../src/oci/database/postgres/Sizes.ts"
import { Database } from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"

const many = `(SELECT n, 'sha256:' || encode(sha256(n::text::bytea), 'hex') AS digest FROM generate_series(1, 2000) n)`

/** Seven repositories share every tenth of 2,000 blobs, and each has a seventh of the others: 3,200 references. */
const manyPairs = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const statements = [
    `INSERT INTO public.blobs (digest, object_key, size_bytes, created_at)
       SELECT digest, digest, 1000, now() FROM ${many} b`,
    `INSERT INTO artifact_registry.manifests (repository, digest, media_type, size_bytes)
       SELECT 'repo' || n, digest, 'm', 1 FROM ${many} m WHERE n <= 7`,
    `INSERT INTO artifact_registry.manifest_references (repository, manifest, digest, kind)
       SELECT 'repo' || m.n, m.digest, b.digest, 'layer' FROM ${many} m, ${many} b
       WHERE m.n <= 7 AND (b.n % 10 = 0 OR b.n % 7 + 1 = m.n)`
  ]
  for (const statement of statements) yield* sql.unsafe(statement)
})

/** The same in one statement, as it was before slices. */
const inOneStatement = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<RepositorySize>`
    WITH used AS (
      SELECT repository, digest, count(*) OVER (PARTITION BY digest) > 1 AS shared FROM (
        SELECT repository, digest FROM artifact_registry.manifests
        UNION SELECT repository, digest FROM artifact_registry.manifest_references) pairs)
    SELECT u.repository, 1::float8 AS manifests, 0::float8 AS tags, sum(b.size_bytes)::float8 AS bytes,
      sum(CASE WHEN u.shared THEN 0 ELSE b.size_bytes END)::float8 AS "freedBytes"
    FROM used u JOIN public.blobs b ON b.digest = u.digest
    GROUP BY u.repository ORDER BY bytes DESC, u.repository`
)

describe("sizes and numbers for people", () => {
  it.live("are read in slices, and a part of the slices tells about as much", () =>
    Effect.gen(function* () {
      yield* manyPairs
      const expected = yield* inOneStatement
      assert.lengthOf(expected, 7)
      const db = registrySql(yield* make(defaultNames))
      const type = yield* cachedDigestType(db)
      const sizes = (slices: number) => Sizes.make(db, type, { references: 700, slices }).largest(20, 20_000)
      assert.deepStrictEqual(yield* sizes(9), { share: 1, repositories: expected })
      const { repositories, share } = yield* sizes(2)
      assert.approximately(share, 2 / 5, 0.1)
      assert.lengthOf(repositories, 7)
      for (const { bytes, freedBytes, repository } of repositories) {
        const whole = expected.find((row) => row.repository === repository)
        assert.approximately(bytes / (whole?.bytes ?? 0), 1, 0.3, repository)
        assert.approximately(freedBytes / (whole?.freedBytes ?? 0), 1, 0.3, repository)
      }
    }).pipe(Effect.provide(Databases.postgres(Databases.embedded)))
  )

  it.live("are given up after a time of their own, and can be asked for again", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { audit, sizes } = yield* Database
      const errors = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`LOCK TABLE artifact_registry.manifests, public.blobs IN ACCESS EXCLUSIVE MODE`
          return [yield* Effect.flip(sizes.largest(20, 100)), yield* Effect.flip(audit.stock(100))]
        })
      )
      // Without one they would end by the time-out of locks, which has another code.
      for (const { message } of errors) assert.include(message, "57014")
      assert.deepStrictEqual(yield* sizes.largest(20, 20_000), { share: 1, repositories: [] })
      assert.deepStrictEqual(yield* audit.stock(20_000), { blobs: 0, bytes: 0 })
    }).pipe(Effect.provide(Databases.postgres(Databases.embedded)))
  )
})
