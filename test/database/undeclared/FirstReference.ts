/** A catalogue whose reference tables never held a row. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as ReferenceSource from "../../../src/sweep/ReferenceSource.ts"
import { refusalOf, type Scene, scene } from "../../fixtures/database/Sweeping.ts"

const start = TestClock.setTime(Date.parse("2026-11-22T00:00:00Z"))
const created = scene([], {}, { createCatalog: "artifacts" })

/** Blobs of an app that keeps its references elsewhere, e.g. in another database. */
const ten = `INSERT INTO blobs (digest, object_key, size_bytes, created_at)
  SELECT 'sha256:' || n, 'k' || n, 1, timestamptz 'epoch' FROM generate_series(1, 10) n`
const refer = "INSERT INTO artifacts VALUES ('r', 'n', 'sha256:1', now())"
const left = ({ run }: Scene) => Effect.map(run("SELECT count(*)::int AS n FROM blobs"), ([row]) => row?.n)
const swept = (s: Scene) => Effect.andThen(TestClock.adjust("1 second"), s.sweep())
const saysOf = (report: Effect.Success<ReturnType<Scene["sweep"]>>) =>
  report.phases.orphans.error?.message ?? ""

/** Answers as a host does that keeps all its references elsewhere. */
const elsewhere = (held: ReadonlyArray<string>) =>
  ReferenceSource.make("elsewhere", (digests) =>
    Effect.succeed(digests.filter((digest) => held.includes(digest)))
  )

const outside = (): void => {
  const blobsOnly = scene([], {}, { createCatalog: "blobs" })

  it.effect("sweeps with a reference source where no table refers to blobs, once the source held one", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* blobsOnly
      yield* s.run(ten)
      const report = yield* Effect.andThen(
        TestClock.adjust("1 second"),
        s.sweep({ sources: [elsewhere(["sha256:3"])] })
      )
      assert.strictEqual(report.outcome, "complete", refusalOf(report))
      assert.deepStrictEqual(yield* s.run("SELECT digest FROM blobs"), [{ digest: "sha256:3" }])
      // Without it, as the command line sweeps.
      assert.include(refusalOf(yield* swept(s)), "no table has a foreign key to it")
      assert.strictEqual(yield* left(s), 1)
    })
  )

  it.effect("keeps all where the source never held a blob, until an operator confirms", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* blobsOnly
      yield* s.run(ten)
      const wrong = { sources: [elsewhere(["of another catalogue"])] }
      for (let n = 0; n < 2; n++) {
        yield* TestClock.adjust("1 second")
        const report = yield* s.sweep(wrong)
        assert.strictEqual(report.outcome, "refused")
        assert.include(saysOf(report), "no reference source has held one")
      }
      assert.strictEqual(yield* left(s), 10)
      assert.deepStrictEqual(yield* s.confirm(Date.parse("2026-11-22T00:00:03Z")), ["unreferenced"])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(refusalOf(yield* s.sweep(wrong)), "complete")
      assert.strictEqual(yield* left(s), 0)
    })
  )

  it.effect("loses all to a source of another catalogue where the question was answered (control)", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* blobsOnly
      yield* s.run(ten, "UPDATE artifact_gc.reference_checks SET held_at = now()")
      yield* TestClock.adjust("1 second")
      yield* s.sweep({ sources: [elsewhere(["of another catalogue"])] })
      assert.strictEqual(yield* left(s), 0)
    })
  )

  it.effect("refuses with a source, too, when a foreign key is gone", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* created
      yield* s.run(ten, refer)
      const sources = [elsewhere(["sha256:3"])]
      yield* TestClock.adjust("1 second")
      assert.strictEqual(refusalOf(yield* s.sweep({ sources })), "complete")
      yield* s.run("ALTER TABLE artifacts DROP CONSTRAINT artifacts_digest_fkey")
      yield* s.run("ALTER TABLE local_files DROP CONSTRAINT local_files_digest_fkey")
      assert.include(refusalOf(yield* s.sweep({ sources })), "Foreign keys to blobs are gone")
      assert.strictEqual(yield* left(s), 2)
    })
  )
}

export const firstReference = (): void => {
  outside()

  it.effect("is asked about before the first purge, by a breaker of its own; other phases run", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* created
      yield* s.run(ten)
      for (let n = 0; n < 3; n++) {
        const report = yield* swept(s)
        assert.strictEqual(report.outcome, "refused")
        assert.include(saysOf(report), "no table with a foreign key to blobs has ever held a row")
        assert.include(saysOf(report), "artifact-gc breaker --confirm")
        assert.isNull(report.phases.leftovers.error)
      }
      assert.strictEqual(yield* left(s), 10)
      assert.include(saysOf(yield* s.sweep({ dryRun: true })), "has ever held a row")
    })
  )

  it.effect("without the question loses all of them (control)", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* created
      yield* s.run(ten, "UPDATE artifact_gc.reference_checks SET held_at = now()")
      yield* swept(s)
      assert.strictEqual(yield* left(s), 0)
    })
  )

  it.effect("is asked about once: after the confirmation its garbage is collected", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* created
      yield* s.run(ten)
      yield* swept(s)
      assert.deepStrictEqual(yield* s.confirm(Date.parse("2026-11-22T00:00:02Z")), ["unreferenced"])
      assert.strictEqual((yield* swept(s)).outcome, "complete")
      assert.strictEqual(yield* left(s), 0)
      yield* s.run(ten)
      assert.strictEqual((yield* swept(s)).outcome, "complete")
      assert.strictEqual(yield* left(s), 0)
    })
  )

  it.effect("continues by itself with its first reference, also if no sweep saw that", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* created
      yield* s.run(ten)
      assert.strictEqual((yield* swept(s)).outcome, "refused")
      yield* s.run(refer, "DELETE FROM artifacts")
      assert.strictEqual((yield* swept(s)).outcome, "complete")
      assert.strictEqual(yield* left(s), 0)
      const [row] = yield* s.run("SELECT confirmed_at >= tripped_at AS closed FROM artifact_gc.breakers")
      assert.deepStrictEqual(row, { closed: true })
    })
  )

  it.effect("is no emptied catalogue, whose tables held rows", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* created
      yield* s.run(ten, refer)
      yield* swept(s)
      yield* s.run("TRUNCATE artifacts")
      assert.strictEqual((yield* swept(s)).outcome, "complete")
      assert.strictEqual(yield* left(s), 0)
    })
  )

  it.effect("is one whose only reference column holds nothing but NULL", () =>
    Effect.gen(function* () {
      yield* start
      const s = yield* scene([
        "CREATE TABLE blobs (digest text PRIMARY KEY, object_key text NOT NULL UNIQUE, size_bytes bigint, created_at timestamptz NOT NULL, last_used_at timestamptz)",
        "CREATE TABLE users (name text, avatar text REFERENCES blobs)",
        "CREATE INDEX ON users (avatar)",
        "INSERT INTO users SELECT 'u' || n FROM generate_series(1, 100) n",
        ten
      ])
      assert.strictEqual((yield* swept(s)).outcome, "refused")
      yield* s.run("UPDATE users SET avatar = 'sha256:3' WHERE name = 'u7'")
      assert.strictEqual((yield* swept(s)).outcome, "complete")
      assert.strictEqual(yield* left(s), 1)
    })
  )
}
