/** Dates of tags beside programs of an older version, and removals beside pushes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Database } from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { blobs, digest, now, write } from "../../fixtures/samples.ts"
import { app, manifest } from "./contract/Manifests.ts"

const pushed = Effect.gen(function* () {
  const { manifests, retention } = yield* Database
  yield* write({ blobs: blobs(1, 2) })
  yield* manifests.put(now - 1, manifest(2), [], { tags: ["a", "b"] })
  yield* manifests.put(now, manifest(1), [], { tags: ["a", "b"] })
  return yield* retention.tags([app], null, 9)
})

const dates = Effect.gen(function* () {
  const { retention } = yield* Database
  const found = yield* retention.tags([app], null, 9)
  return Object.fromEntries(found.map(({ name, pushedAt }) => [name, pushedAt]))
})

describe("retention", () => {
  it.live("does not know when a program without dates moved or made a tag", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { manifests } = yield* Database
      yield* pushed
      // As version 4 of the tables wrote it.
      yield* sql`UPDATE artifact_registry.tags SET digest = ${digest(2)} WHERE repository = ${app} AND name = 'a'`
      yield* sql`INSERT INTO artifact_registry.tags (repository, name, digest) VALUES (${app}, 'c', ${digest(2)})`
      assert.deepStrictEqual(yield* dates, { a: null, b: now, c: null })
      yield* manifests.put(now + 1, manifest(1), [], { tags: ["a", "c"] })
      assert.deepStrictEqual(yield* dates, { a: now + 1, b: now, c: now + 1 })
    }).pipe(Effect.provide(Databases.postgres(Databases.embedded)))
  )

  it.live("waits for no push: a tag or manifest that is locked stays", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { retention } = yield* Database
      const read = yield* pushed
      const locking = (lock: Effect.Effect<unknown, unknown>) =>
        sql.withTransaction(Effect.andThen(lock, retention.untag(now, app, read)))
      assert.deepStrictEqual(
        yield* locking(sql`SELECT FROM artifact_registry.manifests FOR UPDATE`),
        [],
        "its manifest"
      )
      assert.deepStrictEqual(
        yield* locking(sql`SELECT FROM artifact_registry.tags WHERE name = 'a' FOR UPDATE`),
        ["b"],
        "the tag"
      )
      assert.deepStrictEqual(yield* retention.untag(now, app, read), ["a"])
    }).pipe(Effect.provide(Databases.postgres(Databases.embedded)))
  )
})
