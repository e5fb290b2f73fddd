/** A foreign key that earlier sweeps knew and that is gone. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { refusalOf, type Scene, scene } from "../../fixtures/database/Sweeping.ts"

/** 200 blobs: `artifacts` refers to 150 of them, `docs` to the other 50. */
const catalogue = [
  `CREATE TABLE blobs (digest text PRIMARY KEY, object_key text NOT NULL UNIQUE, size_bytes bigint,
     created_at timestamptz NOT NULL, last_used_at timestamptz)`,
  "CREATE TABLE artifacts (digest text NOT NULL REFERENCES blobs)",
  "CREATE INDEX ON artifacts (digest)",
  "CREATE TABLE docs (content text NOT NULL CONSTRAINT docs_fk REFERENCES blobs)",
  "CREATE INDEX ON docs (content)",
  "INSERT INTO blobs SELECT 'sha256:' || n, 'k' || n, 1, timestamptz 'epoch' FROM generate_series(1, 200) n",
  "INSERT INTO artifacts SELECT 'sha256:' || n FROM generate_series(1, 150) n",
  "INSERT INTO docs SELECT 'sha256:' || n FROM generate_series(151, 200) n"
]
const drop = "ALTER TABLE docs DROP CONSTRAINT docs_fk"
/** The sniff would name the column as well. These tests are about the memory alone. */
const notReferences = ["docs.content"]

const left = ({ run }: Scene) => Effect.map(run("SELECT count(*)::int AS n FROM blobs"), ([row]) => row?.n)
const swept = (s: Scene) => Effect.andThen(TestClock.adjust("1 second"), s.sweep({ notReferences }))
const breaker = ({ run }: Scene) =>
  Effect.map(
    run(
      "SELECT coalesce(confirmed_at < tripped_at, true) AS open FROM artifact_gc.breakers WHERE name = 'references'"
    ),
    ([row]) => row?.open
  )
const start = TestClock.setTime(Date.parse("2026-11-22T00:00:00Z"))

export const missingKeys = (): void => {
  it.effect("make a sweep refuse, and the refusal ends by itself when the key is back", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* scene(catalogue)
      assert.strictEqual((yield* swept(s)).outcome, "complete")
      yield* s.run(drop)
      for (let n = 0; n < 3; n++) {
        const report = yield* swept(s)
        assert.strictEqual(report.outcome, "refused")
        assert.strictEqual(report.guards[0]?.guard, "references")
        assert.include(refusalOf(report), "public.docs (content)")
      }
      assert.strictEqual(yield* left(s), 200)
      assert.isTrue(yield* breaker(s))
      const [, fix = ""] = /fix: (.*)/.exec(refusalOf(yield* swept(s))) ?? []
      yield* s.run(fix)
      assert.strictEqual((yield* swept(s)).outcome, "complete")
      assert.isFalse(yield* breaker(s))
      assert.strictEqual(yield* left(s), 200)
    })
  )

  it.effect("without the memory of earlier sweeps let 50 referenced blobs be deleted (control)", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* scene(catalogue)
      yield* swept(s)
      yield* s.run(
        drop,
        "DELETE FROM artifact_gc.reference_keys",
        "UPDATE artifact_gc.reference_checks SET keys = ''"
      )
      for (let n = 0; n < 3; n++) yield* swept(s)
      assert.strictEqual(yield* left(s), 150)
    })
  )

  it.effect("are forgotten when a person confirms, and another one is asked about anew", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* scene(catalogue)
      yield* swept(s)
      yield* s.run(drop)
      yield* swept(s)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* s.confirm(Date.parse("2026-11-22T00:00:03Z")), ["references"])
      yield* swept(s)
      assert.strictEqual((yield* swept(s)).outcome, "complete")
      assert.strictEqual(yield* left(s), 150)
      yield* s.run(
        "ALTER TABLE artifacts DROP CONSTRAINT artifacts_digest_fkey",
        "ALTER TABLE docs ADD FOREIGN KEY (content) REFERENCES blobs NOT VALID"
      )
      assert.include(refusalOf(yield* swept(s)), "public.artifacts (digest)")
      assert.strictEqual(yield* left(s), 150)
    })
  )

  it.effect("are only foreseen by a dry run, which remembers nothing", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* scene(catalogue)
      yield* swept(s)
      yield* s.run(drop)
      assert.include(refusalOf(yield* s.sweep({ dryRun: true, notReferences })), "public.docs (content)")
      assert.isUndefined(yield* breaker(s))
    })
  )

  it.effect("are none where only a name changed", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* scene(catalogue)
      yield* swept(s)
      yield* s.run("ALTER TABLE docs RENAME COLUMN content TO body", "ALTER TABLE artifacts RENAME TO builds")
      assert.strictEqual((yield* s.sweep()).outcome, "complete")
      assert.strictEqual(yield* left(s), 200)
    })
  )

  it.effect("of a dropped table are told once, and are missing if the table returns without them", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* scene(catalogue)
      yield* swept(s)
      yield* s.run(
        "CREATE TABLE kept AS SELECT * FROM docs WHERE false",
        "ALTER TABLE kept ADD FOREIGN KEY (content) REFERENCES blobs",
        "CREATE INDEX ON kept (content)",
        "DROP TABLE docs"
      )
      const waiting = { notReferences: [], settings: { breakerBlobs: 0, breakerPercent: 0 } }
      const told = yield* s.sweep(waiting)
      assert.include(told.guards[0]?.message, "Reference tables were dropped: public.docs (content)")
      assert.notInclude(refusalOf(yield* s.sweep(waiting)), "dropped")
      yield* s.run(
        "CREATE TABLE docs (content text)",
        "INSERT INTO docs SELECT 'sha256:' || n FROM generate_series(151, 200) n"
      )
      assert.include(refusalOf(yield* swept(s)), "public.docs (content)")
      assert.strictEqual(yield* left(s), 200)
    })
  )
}
