/**
 * What a sweep asks that finds nothing: an exact number of statements, so that no later change adds to it unseen. A guard
 * that asks more raises the number here, and says why in docs/decisions/0024-idle-sweeps.md.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Tracer } from "effect"
import { SqlClient } from "effect/sql"
import * as Postgres from "../../src/database/Postgres.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as Databases from "../fixtures/Databases.ts"

/** What a sweep asked of the server. A transaction is three round trips beside its statements. */
interface Asked {
  readonly verbs: number
  readonly statements: number
  readonly transactions: number
}

const roundTrips = ({ statements, transactions }: Asked): number => statements + 3 * transactions

/** Counts what `sweep` asks. Returns its guards' findings, too. */
const counted = Effect.fnUntraced(function* (sweep: Sweep["Service"]) {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const report = yield* Effect.provideService(sweep.once(), Tracer.Tracer, tracer)
  const statements = spans.flatMap(({ attributes }) => attributes.get("db.query.text") ?? []).map(String)
  // A server that answers late is asked for its time twice more, in one transaction.
  const again = statements.filter((text) => text.includes("clock_timestamp()")).length - 1
  const asked: Asked = {
    verbs: spans.filter(({ name }) => name.startsWith("Database.")).length,
    statements: statements.length - again,
    transactions: spans.filter(({ name }) => name === "sql.transaction").length - again / 2
  }
  return { asked, report }
})

/** A catalogue with a referenced blob, and a sweep over it that has nothing to do. */
const idle = Effect.fnUntraced(function* ({
  maxConnections,
  watched
}: {
  readonly maxConnections: number
  readonly watched: boolean
}) {
  const place = yield* Databases.emptyDatabase(Databases.embedded)
  const store = MemoryStorage.emptyState()
  const key = "blobs/1" as never
  store.objects.set(key, { bytes: new Uint8Array(1), modifiedAt: 0 })
  const context = yield* Layer.build(
    Sweep.layer().pipe(
      Layer.provide(MemoryStorage.layerOf(store)),
      Layer.provide(Postgres.layer()),
      Layer.provideMerge(
        Layer.effectDiscard(
          Effect.gen(function* () {
            yield* Postgres.migrate(defaultNames, { createCatalog: "artifacts" })
            if (watched) yield* Postgres.watchReferences(defaultNames)
          })
        )
      ),
      Layer.provideMerge(Databases.client(place, { maxConnections }))
    )
  )
  const sweep = yield* Effect.provideContext(Sweep, context)
  const sql = yield* Effect.provideContext(SqlClient.SqlClient, context)
  yield* sql`INSERT INTO blobs (digest, object_key, size_bytes, created_at, last_used_at)
    VALUES ('sha256:1', 'blobs/1', 1, '2026-01-01', '2026-01-01')`
  yield* sql`INSERT INTO artifacts (repository, name, digest, created_at) VALUES ('r', 'n', 'sha256:1', '2026-01-01')`
  // The first binds, scans and lists, and the second learns that nothing is left.
  for (let n = 0; n < 2; n++) assert.strictEqual((yield* sweep.once()).outcome, "complete")
  return { sweep, sql }
})

describe("A sweep that finds nothing", () => {
  it.live("asks 25 statements where references are watched, two of them in a transaction", () =>
    Effect.gen(function* () {
      const { sweep } = yield* idle({ maxConnections: 10, watched: true })
      for (let n = 0; n < 2; n++) {
        const { asked, report } = yield* counted(sweep)
        assert.strictEqual(report.outcome, "complete")
        assert.deepStrictEqual(report.guards, [])
        assert.deepStrictEqual(asked, { verbs: 29, statements: 25, transactions: 2 })
      }
    }).pipe(Effect.scoped)
  )

  it.live("scans where references are not watched", () =>
    Effect.gen(function* () {
      const { sweep } = yield* idle({ maxConnections: 10, watched: false })
      const { asked } = yield* counted(sweep)
      assert.deepStrictEqual(asked, { verbs: 30, statements: 29, transactions: 6 })
    }).pipe(Effect.scoped)
  )

  it.live("has a transaction for each statement on a pool without connections for reading", () =>
    Effect.gen(function* () {
      const { sweep } = yield* idle({ maxConnections: 3, watched: true })
      const { asked } = yield* counted(sweep)
      assert.deepStrictEqual(asked, { verbs: 29, statements: 25, transactions: 25 })
    }).pipe(Effect.scoped)
  )

  it.live("asks as little again after a sweep that found something", () =>
    Effect.gen(function* () {
      const { sql, sweep } = yield* idle({ maxConnections: 10, watched: true })
      const { asked: before } = yield* counted(sweep)
      yield* sql`DELETE FROM artifacts`
      const busy = yield* counted(sweep)
      assert.isAbove(roundTrips(busy.asked), roundTrips(before))
      yield* sql`INSERT INTO artifacts (repository, name, digest, created_at) VALUES ('r', 'n', 'sha256:1', '2026-01-01')`
      for (let n = 0; n < 3; n++) yield* sweep.once()
      assert.deepStrictEqual((yield* counted(sweep)).asked, before)
    }).pipe(Effect.scoped)
  )

  it.live("is refused by name at once after a change that makes it unsafe", () =>
    Effect.gen(function* () {
      const { sql, sweep } = yield* idle({ maxConnections: 10, watched: true })
      const refusal = Effect.map(sweep.once(), ({ guards }) =>
        guards.flatMap(({ decision, message }) => (decision === "refused" ? [message] : [])).join("\n")
      )
      yield* sql`ALTER TABLE artifacts DISABLE TRIGGER ALL`
      assert.include(yield* refusal, "the foreign key's triggers are disabled")
      yield* sql`ALTER TABLE artifacts ENABLE TRIGGER ALL`
      assert.strictEqual(yield* refusal, "")
      yield* sql`ALTER TABLE artifact_gc.installation RENAME TO gone`
      assert.include(yield* refusal, "artifact_gc.installation: the table does not exist any more")
      yield* sql`ALTER TABLE artifact_gc.gone RENAME TO installation`
      assert.strictEqual(yield* refusal, "")
      yield* sql`ALTER TABLE artifacts DROP CONSTRAINT artifacts_digest_fkey`
      assert.include(yield* refusal, "artifacts")
    }).pipe(Effect.scoped)
  )
})
