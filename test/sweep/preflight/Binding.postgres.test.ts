/** The binding and the age of the database on PostgreSQL: restored backups, copies, two catalogues in one schema. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { CollectorDatabase } from "../../../src/database/Database.ts"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import * as Databases from "../../fixtures/Databases.ts"

const hour = 60 * 60_000
const settings = {
  clockTolerance: Duration.weeks(5000),
  leftoverEvery: Duration.hours(1),
  leftoverGrace: Duration.hours(1),
  presence: Duration.minutes(181)
}

/** A collector of its own over `names` and a bucket. */
const collector = Effect.fnUntraced(function* (
  place: Databases.Place,
  bucket: MemoryStorage.State,
  names = defaultNames,
  more = {}
) {
  const services = Layer.merge(
    Layer.provide(Postgres.layer(names), Databases.client(place)),
    MemoryStorage.layerOf(bucket)
  )
  const layer = Layer.provideMerge(Sweep.layerUnchecked({ ...settings, ...more }), services)
  return Context.get(yield* Layer.build(layer), Sweep)
})

const statements = (place: Databases.Place, ...list: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.forEach(
      list.flatMap((statement) => statement.split(";")),
      (statement) => sql.unsafe<Record<string, unknown>>(statement)
    )
  ).pipe(Effect.provide(Databases.client(place)))

const put = Effect.fnUntraced(function* (bucket: MemoryStorage.State, names: ReadonlyArray<string>) {
  const { put } = Context.get(yield* Layer.build(MemoryStorage.layerOf(bucket)), Storage)
  for (const name of names) yield* put(ObjectKey.make(`blobs/${name}`), Stream.make(new Uint8Array(1)), 1)
})

const keysOf = (bucket: MemoryStorage.State): ReadonlyArray<string> => [...bucket.objects.keys()].sort()

const named = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `${prefix}${n}`)

/** 400 referenced blobs, swept for hours, then a backup. A week later, after 80 uploads, it is restored. */
const restored = Effect.fnUntraced(function* (more = {}) {
  const place = yield* Databases.migratedDatabase(Databases.embedded)
  const bucket = MemoryStorage.emptyState()
  yield* TestClock.setTime(Date.parse("2026-11-20T00:00:00Z"))
  yield* put(bucket, named("old", 400))
  yield* statements(
    place,
    `INSERT INTO blobs (digest, object_key, size_bytes, created_at)
       SELECT 'd' || n, 'blobs/old' || n, 1, '2026-11-20' FROM generate_series(0, 399) n`,
    `INSERT INTO artifacts (repository, name, digest, created_at)
       SELECT 'r', 'a' || n, 'd' || n, '2026-11-20' FROM generate_series(0, 399) n`
  )
  const before = yield* collector(place, bucket, defaultNames, more)
  for (let n = 0; n < 4; n++) {
    yield* TestClock.adjust(hour)
    assert.strictEqual((yield* before.once()).outcome, "complete")
  }
  yield* TestClock.adjust(84 * hour)
  yield* put(bucket, named("new", 80))
  yield* TestClock.adjust(84 * hour)
  return { bucket, place, sweep: yield* collector(place, bucket, defaultNames, more) }
})

const whileSwept = Effect.fnUntraced(function* (sweep: Sweep["Service"], hours: number) {
  const outcomes = new Set<string>()
  for (let n = 0; n < hours; n++) {
    outcomes.add((yield* sweep.once()).outcome)
    yield* TestClock.adjust(hour)
  }
  return [...outcomes]
})

describe("a restored database", { timeout: 60_000 }, () => {
  it.effect("keeps the uploads since the backup until a person confirms", () =>
    Effect.gen(function* () {
      const { bucket, place, sweep } = yield* restored()
      assert.deepStrictEqual(yield* whileSwept(sweep, 30), ["refused"])
      const report = yield* sweep.once()
      assert.strictEqual(report.phases.leftovers.error?.tag, "AgeRefused")
      assert.include(
        report.phases.leftovers.error?.message,
        "At least 80 objects that nothing owns were written"
      )
      assert.strictEqual(report.phases.orphans.error, null)
      assert.strictEqual(keysOf(bucket).length, 480)
      // The rows that can be put back are no leftovers any more.
      yield* statements(
        place,
        `INSERT INTO blobs (digest, object_key, size_bytes, created_at)
           SELECT 'n' || n, 'blobs/new' || n, 1, '2026-11-24' FROM generate_series(0, 9) n`,
        `INSERT INTO artifacts (repository, name, digest, created_at)
           SELECT 'r', 'n' || n, 'n' || n, '2026-11-24' FROM generate_series(0, 9) n`
      )
      const confirmed = yield* statements(
        place,
        "UPDATE artifact_gc.breakers SET confirmed_at = tripped_at WHERE name = 'age' RETURNING name"
      )
      assert.lengthOf(confirmed[0] ?? [], 1)
      yield* whileSwept(sweep, 6)
      assert.strictEqual(keysOf(bucket).length, 410)
    })
  )

  it.effect("without the guard loses them within an hour, and asks nothing", () =>
    Effect.gen(function* () {
      const { bucket, sweep } = yield* restored({ presence: Duration.weeks(500) })
      assert.deepStrictEqual(yield* whileSwept(sweep, 2), ["complete"])
      assert.deepStrictEqual(keysOf(bucket), named("blobs/old", 400).sort())
    })
  )

  it.effect("as a copy of the database is refused, and so is a copy beside the original", () =>
    Effect.gen(function* () {
      const { bucket, place } = yield* restored()
      if (!("database" in place)) return
      const copy = `copy_${randomUUID().slice(0, 8)}`
      yield* Effect.acquireRelease(
        statements(
          { ...place, database: "postgres" },
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${place.database}'`,
          `CREATE DATABASE ${copy} TEMPLATE ${place.database}`
        ),
        () =>
          Effect.orDie(statements({ ...place, database: "postgres" }, `DROP DATABASE ${copy} WITH (FORCE)`))
      )
      const report = yield* (yield* collector({ ...place, database: copy }, bucket)).once()
      assert.strictEqual(report.phases.orphans.error?.tag, "BindingRefused")
      assert.include(report.phases.orphans.error?.message, "database: server and OID")
    })
  )

  it.effect("tells server and timeline to a role without any privilege", () =>
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(Databases.embedded)
      const role = `reader_${randomUUID().slice(0, 8)}`
      yield* Effect.acquireRelease(
        statements(
          place,
          `CREATE ROLE ${role} LOGIN${Databases.samePassword(place)}`,
          `GRANT USAGE ON SCHEMA artifact_gc, artifact_registry TO ${role}`,
          `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA artifact_gc, artifact_registry, public TO ${role}`
        ),
        () => Effect.orDie(statements(place, `DROP OWNED BY ${role}`, `DROP ROLE ${role}`))
      )
      const database = Context.get(
        yield* Layer.build(Layer.provide(Postgres.layer(), Databases.client(Databases.as(place, role)))),
        CollectorDatabase
      )
      yield* database.inspect
      const { here } = yield* database.binding.read
      assert.match(here.server ?? "", /^\d{15,}\/\d+$/)
      assert.match(here.timeline ?? "", /^[0-9A-F]{8}$/)
    })
  )
})

describe("one schema of the collector", { timeout: 60_000 }, () => {
  const other = { ...defaultNames, schema: "other" }
  const second = `CREATE SCHEMA other;
    CREATE TABLE other.blobs (LIKE public.blobs INCLUDING ALL);
    CREATE TABLE other.artifacts (name text PRIMARY KEY, digest text COLLATE "C" NOT NULL REFERENCES other.blobs (digest));
    CREATE INDEX ON other.artifacts (digest)`

  it.effect("is refused to a second catalogue, whose sweep would end the sightings of the first", () =>
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(Databases.embedded)
      yield* statements(place, second)
      const first = yield* collector(place, MemoryStorage.emptyState())
      assert.strictEqual((yield* first.once()).outcome, "complete")
      yield* first.leave
      const report = yield* (yield* collector(place, MemoryStorage.emptyState(), other)).once()
      assert.strictEqual(report.outcome, "refused")
      assert.include(report.phases.orphans.error?.message, "CATALOG_SCHEMA: other here, public bound")
      // Had the second recorded its foreign keys, the first would now miss them.
      const again = yield* collector(place, MemoryStorage.emptyState())
      assert.strictEqual((yield* again.once()).outcome, "complete")
    })
  )

  it.effect("that is bound to a second catalogue does not miss the foreign keys of the first", () =>
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(Databases.embedded)
      yield* statements(place, second)
      const first = yield* collector(place, MemoryStorage.emptyState())
      assert.strictEqual((yield* first.once()).outcome, "complete")
      yield* first.leave
      const layer = Layer.provide(Postgres.layer(other), Databases.client(place))
      const { binding, inspect } = Context.get(yield* Layer.build(layer), CollectorDatabase)
      yield* inspect
      const { bound, catalogue, here } = yield* binding.read
      const identity = { ...bound?.identity, ...catalogue }
      yield* binding.rebind(0, identity, here, 0.9, { store: false, catalogue: true })
      const report = yield* (yield* collector(place, MemoryStorage.emptyState(), other)).once()
      assert.deepStrictEqual([report.outcome, report.guards], ["complete", []])
    })
  )

  it.effect("is refused to a catalogue whose identity column has changed its type", () =>
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(Databases.embedded)
      const sweep = yield* collector(place, MemoryStorage.emptyState())
      assert.strictEqual((yield* sweep.once()).outcome, "complete")
      yield* statements(
        place,
        `DROP SCHEMA artifact_registry CASCADE;
         DROP TABLE public.artifacts, public.local_files;
         ALTER TABLE public.blobs ALTER COLUMN digest TYPE bytea USING digest::bytea;
         CREATE TABLE public.r (digest bytea REFERENCES public.blobs (digest)); CREATE INDEX ON public.r (digest)`
      )
      const report = yield* sweep.once()
      assert.strictEqual(report.outcome, "refused")
      // The schema guard is asked first, and knows the type of its own tables.
      assert.match(report.phases.orphans.error?.message ?? "", /bytea/)
    })
  )

  it.effect("belongs to one of two collectors that begin together", () =>
    Effect.gen(function* () {
      const place = yield* Databases.migratedDatabase(Databases.embedded)
      yield* statements(place, second)
      const mixed = { mixedSettings: "allow" }
      const first = yield* collector(place, MemoryStorage.emptyState(), defaultNames, mixed)
      const last = yield* collector(place, MemoryStorage.emptyState(), other, mixed)
      const reports = yield* Effect.all([first.once(), last.once()], { concurrency: 2 })
      assert.sameMembers(
        reports.map(({ outcome }) => outcome),
        ["complete", "refused"]
      )
    })
  )
})
