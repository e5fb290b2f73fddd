/**
 * Rolling upgrades: tables of the previous release with its data, migrated by this program while replicas of that release
 * serve clients.
 *
 * upgrades/previous.json holds the statements of the previous release, so no other checkout is needed. At a release it is
 * recorded anew, before the first migration of the next: RECORD_RELEASE=1 with this file.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { latestMigration } from "../../src/database/postgres/schema/MigrationList.ts"
import { latestRegistryMigration } from "../../src/oci/database/Postgres.ts"
import * as Databases from "../fixtures/Databases.ts"
import { decode, encode, outcomes, replay } from "./upgrades/Recorded.ts"
import { life, migrate, record, services, work } from "./upgrades/Release.ts"

const file = new URL("./upgrades/previous.json", import.meta.url)

const previous = () => decode(readFileSync(file, "utf8"))

const isRecording = (process.env.RECORD_RELEASE ?? "") !== ""

/** A database as the previous release left it, and a pool of connections to it. */
const former = Effect.gen(function* () {
  const place = yield* Databases.emptyDatabase(Databases.embedded)
  const client = yield* Layer.build(Databases.client(place))
  yield* Effect.andThen(replay(previous().tables), replay(previous().life)).pipe(Effect.provide(client))
  return client
})

const rows = (statement: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<Readonly<Record<string, unknown>>>(statement))

const versions = rows(`SELECT (SELECT max(migration_id) FROM artifact_gc.migrations) AS collector,
  (SELECT max(migration_id) FROM artifact_registry.registry_migrations) AS registry`)

/** The rows that clients rely on. */
const catalogue = rows(`
  SELECT 'blob' AS kind, digest AS a, object_key AS b, size_bytes::text AS c FROM public.blobs
  UNION ALL SELECT 'manifest', repository, digest, media_type FROM artifact_registry.manifests
  UNION ALL SELECT 'reference', repository, manifest, digest FROM artifact_registry.manifest_references
  UNION ALL SELECT 'tag', repository, name, digest FROM artifact_registry.tags
  UNION ALL SELECT 'journal', object_key, reason, digest FROM artifact_gc.journal
  UNION ALL SELECT 'intent', object_key, digest, upload_id FROM artifact_gc.intents
  UNION ALL SELECT 'pin', id, digest, NULL FROM artifact_gc.pins
  UNION ALL SELECT 'session', id, repository, state FROM artifact_gc.upload_sessions
  UNION ALL SELECT 'chunk', object_key, session_id, digest FROM artifact_gc.upload_chunks
  ORDER BY 1, 2, 3, 4`)

describe.runIf(isRecording)("the release that is recorded", () => {
  it.live("pushes, sweeps and pulls", () =>
    Effect.gen(function* () {
      const place = yield* Databases.emptyDatabase(Databases.embedded)
      const release = yield* record(place)
      for (const part of Object.values(release)) assert.isAbove(part.length, 10)
      writeFileSync(file, `${encode(release)}\n`)
    }).pipe(Effect.scoped)
  )
})

describe.skipIf(isRecording)("an upgrade from the previous release", () => {
  it.live("leaves its replicas their statements: each has the same rows before and after the migration", () =>
    Effect.gen(function* () {
      const { work } = previous()
      const before = yield* former
      const after = yield* former
      yield* Effect.provide(migrate, after)
      const expected = outcomes(work, yield* Effect.provide(replay(work), before))
      const found = outcomes(work, yield* Effect.provide(replay(work), after))
      assert.isAbove(expected.length, 20)
      assert.deepStrictEqual(found, expected)
      assert.deepStrictEqual(
        yield* Effect.provide(catalogue, after),
        yield* Effect.provide(catalogue, before)
      )
    }).pipe(Effect.scoped)
  )

  it.live("keeps all rows, and this program serves and collects them", () =>
    Effect.gen(function* () {
      const client = yield* former
      yield* Effect.gen(function* () {
        const before = yield* catalogue
        assert.isAbove(before.length, 10)
        yield* migrate
        assert.deepStrictEqual(yield* versions, [
          { collector: latestMigration, registry: latestRegistryMigration }
        ])
        assert.deepStrictEqual(yield* catalogue, before)
        yield* Effect.scoped(Effect.provide(Effect.andThen(work, life), services))
      }).pipe(Effect.provide(client))
    }).pipe(Effect.scoped)
  )

  it.live(
    "runs beside a push of a replica that is under way, or gives up without a change, and the push succeeds",
    () =>
      Effect.gen(function* () {
        const client = yield* former
        yield* Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const [pushed, migrated] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const push = sql.withTransaction(
            Effect.gen(function* () {
              const found = yield* replay(previous().work)
              yield* Deferred.succeed(pushed, undefined)
              yield* Deferred.await(migrated)
              return found
            })
          )
          const replica = yield* Effect.forkChild(push)
          yield* Deferred.await(pushed)
          const before = yield* versions
          const exit = yield* Effect.exit(migrate)
          if (Exit.isFailure(exit)) assert.deepStrictEqual(yield* versions, before)
          yield* Deferred.succeed(migrated, undefined)
          assert.lengthOf(yield* Fiber.join(replica), previous().work.length)
          const tags = yield* rows("SELECT FROM artifact_registry.tags WHERE repository = 'team/new'")
          assert.lengthOf(tags, 1)
          yield* migrate
          assert.deepStrictEqual(yield* versions, [
            { collector: latestMigration, registry: latestRegistryMigration }
          ])
        }).pipe(Effect.provide(client))
      }).pipe(Effect.scoped)
  )

  it.live("control: would break its replicas if a migration renamed a column", () =>
    Effect.gen(function* () {
      const client = yield* former
      yield* Effect.gen(function* () {
        yield* rows("ALTER TABLE artifact_gc.intents RENAME COLUMN digest TO content")
        const exit = yield* Effect.exit(replay(previous().work))
        assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", 'column "digest"')
      }).pipe(Effect.provide(client))
    }).pipe(Effect.scoped)
  )
})
