/**
 * Several catalogues and stores in one process, on one client of the host: docs/library/several.md. A test of a host gets a
 * schema of its own in the same way.
 */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { BlobStore, CatalogNames, MemoryStorage, Postgres, Storage, Sweep } from "../../src/index.ts"
import * as Databases from "../fixtures/Databases.ts"
import { hostsClient } from "../fixtures/database/Host.ts"

interface Catalogue {
  readonly name: string
  readonly blobs: BlobStore.BlobStore["Service"]
  readonly sweep: Sweep.Sweep["Service"]
  /** How many objects its store has. */
  readonly objects: Effect.Effect<number>
  /** Stores a note with its text. */
  readonly add: (text: string) => Effect.Effect<string>
  readonly remove: (digest: string) => Effect.Effect<unknown>
}

/**
 * A catalogue with a table of notes, in a schema that the end of the scope drops. `others` are catalogues of the same
 * database that may hold equal bytes.
 */
const catalogue = Effect.fnUntraced(function* (name: string, others: ReadonlyArray<string> = []) {
  const sql = yield* SqlClient.SqlClient
  const names = {
    ...CatalogNames.defaultNames,
    schema: name,
    collectorSchema: `${name}_gc`,
    notReferences: others.map((other) => `${other}.blobs.digest`)
  }
  yield* Effect.acquireRelease(Effect.orDie(sql`CREATE SCHEMA ${sql(name)}`), () =>
    Effect.orDie(
      Effect.andThen(
        sql`DROP SCHEMA ${sql(name)} CASCADE`,
        sql`DROP SCHEMA ${sql(names.collectorSchema)} CASCADE`
      )
    )
  )
  yield* Postgres.migrate(names, { createCatalog: "blobs" })
  const notes = sql(`${name}.notes`)
  yield* sql`CREATE TABLE ${notes} (
    digest text COLLATE "C" NOT NULL REFERENCES ${sql(`${name}.blobs`)} (digest)
  )`
  yield* sql`CREATE INDEX ON ${notes} (digest)`

  const built = yield* Layer.build(
    Layer.merge(BlobStore.BlobStore.layer(), Sweep.Sweep.layer()).pipe(
      Layer.provideMerge(Layer.merge(Postgres.layer(names), Layer.fresh(MemoryStorage.layer)))
    )
  )
  const blobs = Context.get(built, BlobStore.BlobStore)
  const found: Catalogue = {
    name,
    blobs,
    sweep: Context.get(built, Sweep.Sweep),
    objects: Stream.runCollect(Context.get(built, Storage.Storage).list("")).pipe(
      Effect.map((pages) => pages.flat().length),
      Effect.orDie
    ),
    add: (text) =>
      blobs
        .put(Stream.make(Buffer.from(text)), {
          commit: ({ digest }) => sql`INSERT INTO ${notes} VALUES (${digest})`
        })
        .pipe(
          Effect.map(({ digest }) => digest),
          Effect.orDie
        ),
    remove: (digest) => Effect.orDie(sql`DELETE FROM ${notes} WHERE digest = ${digest}`)
  }
  return found
})

/** As many sweeps as an orphan needs to be deleted. Returns how many objects they deleted. */
const collect = Effect.fnUntraced(function* (catalogues: ReadonlyArray<Catalogue>) {
  let deleted = 0
  for (let round = 0; round < 4; round++) {
    yield* TestClock.adjust("2 hours")
    for (const { name, sweep } of catalogues) {
      const report = yield* sweep.once()
      assert.strictEqual(report.outcome, "complete", `${name}: ${report.guards[0]?.message}`)
      deleted += report.totals.deleted
    }
  }
  return deleted
})

const onHost = <A, E>(steps: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.gen(function* () {
    const place = yield* Databases.emptyDatabase(Databases.embedded)
    return yield* Effect.provide(steps, hostsClient(place))
  }).pipe(Effect.scoped)

describe("catalogues on one client of the host", () => {
  it.effect("collect their own objects, and touch neither rows nor objects of each other", () =>
    onHost(
      Effect.gen(function* () {
        const images = yield* catalogue("images", ["reports"])
        const reports = yield* catalogue("reports", ["images"])
        // The same bytes, and so the same digest, in both.
        const digest = yield* images.add("same")
        assert.strictEqual(yield* reports.add("same"), digest)
        for (const one of [images, reports]) yield* one.add(`kept by ${one.name}`)
        yield* images.remove(digest)

        assert.strictEqual(yield* collect([images, reports]), 1)
        assert.deepStrictEqual([yield* images.objects, yield* reports.objects], [1, 2])
        assert.isTrue(Option.isNone(yield* images.blobs.stat(digest as never)))
        assert.isTrue(Option.isSome(yield* reports.blobs.stat(digest as never)))
      }).pipe(Effect.scoped)
    )
  )

  const refusal = (one: Catalogue) =>
    Effect.map(one.sweep.once(), ({ guards, outcome }) =>
      outcome === "refused" ? (guards[0]?.message ?? "") : outcome
    )

  it.effect("refuse until the table of another one with the same digests is bound to its collector", () =>
    onHost(
      Effect.gen(function* () {
        const [images, reports] = [yield* catalogue("images"), yield* catalogue("reports")]
        const digest = yield* images.add("same")
        yield* reports.add("same")
        assert.include(yield* refusal(images), "CATALOG_NOT_REFERENCES=reports.blobs.digest")
        assert.strictEqual(yield* refusal(reports), "complete")
        yield* images.remove(digest)
        assert.strictEqual(yield* collect([images, reports]), 1)
        assert.deepStrictEqual([yield* images.objects, yield* reports.objects], [0, 1])
      }).pipe(Effect.scoped)
    )
  )

  it.effect("refuse all other columns of a bound catalogue that hold their digests or keys", () =>
    onHost(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const [images, reports] = [yield* catalogue("images"), yield* catalogue("reports")]
        yield* images.add("same")
        yield* reports.add("same")
        yield* reports.sweep.once()
        assert.strictEqual(yield* refusal(images), "complete")
        yield* sql`ALTER TABLE reports.blobs ADD COLUMN thumbnail_of text`
        yield* sql`UPDATE reports.blobs SET thumbnail_of = digest`
        assert.include(yield* refusal(images), "CATALOG_NOT_REFERENCES=reports.blobs.thumbnail_of")
        yield* sql`ALTER TABLE reports.blobs DROP COLUMN thumbnail_of`
        assert.strictEqual(yield* refusal(images), "complete")
        // Both would own one object, which the purge of either deletes.
        yield* sql`UPDATE reports.blobs SET object_key = (SELECT object_key FROM images.blobs)`
        yield* sql`UPDATE images_gc.reference_checks SET sniffed_at = NULL`
        assert.include(yield* refusal(images), "CATALOG_NOT_REFERENCES=reports.blobs.object_key")
      }).pipe(Effect.scoped)
    )
  )

  it.effect("come and go as the schemas of single tests", () =>
    onHost(
      Effect.gen(function* () {
        const test = Effect.gen(function* () {
          const own = yield* catalogue(`test_${randomUUID().slice(0, 8)}`)
          const digest = yield* own.add("text")
          yield* own.remove(digest)
          yield* own.add("kept")
          return yield* collect([own])
        }).pipe(Effect.scoped)
        for (let i = 0; i < 3; i++) assert.strictEqual(yield* test, 1)
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql`SELECT nspname FROM pg_namespace WHERE nspname LIKE 'test%'`, [])
      })
    )
  )
})
