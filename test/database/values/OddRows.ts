/** Rows with odd values: none of them keeps the others from being collected. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import type { PurgeCursor, PurgePage } from "../../../src/database/Database.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import { type Bench, bench } from "../../fixtures/database/CatalogueBench.ts"

const everything = { after: null, upTo: null, blobs: 0 }
const farAhead = 8_000_000_000_000

/** Condemns every orphan, and purges page by page. */
const purgeAll = Effect.fnUntraced(function* ({ database: { inspect, orphans } }: Bench, limit = 100) {
  yield* inspect
  const found = yield* orphans.find(everything)
  const seen = found.map(({ digest }) => digest)
  yield* orphans.record(everything, { now: 10, seen, condemned: seen, sweep: "s" })
  const pages: Array<PurgePage> = []
  let after: PurgeCursor | null = null
  do {
    const page: PurgePage = yield* orphans.purge({
      now: 10,
      condemnedCutoff: 10,
      seenCutoff: 10,
      usedCutoff: farAhead,
      limit,
      after,
      deleteNotBefore: 10,
      leaseUntil: null
    })
    pages.push(page)
    after = page.next
  } while (after !== null)
  return { found, pages, purged: pages.flatMap((page) => page.purged.map(({ digest }) => digest as string)) }
})

const sizes = { d1: "'NaN'", d2: "1e30", d3: "'Infinity'", d4: "-5", d5: "NULL", d6: "0.4", d7: "70" }
const clamped = [0, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 0, 0, 0, 70]

const oddSizes = () => {
  it.effect("sizes that are no sizes count as none, or as the largest", () =>
    Effect.gen(function* () {
      const b = yield* bench()
      yield* b.run(
        "ALTER TABLE $s.blobs ALTER COLUMN size_bytes TYPE numeric",
        ...Object.entries(sizes).map(
          ([digest, size]) => `INSERT INTO $s.blobs VALUES ('${digest}', 'k${digest}', ${size}, now())`
        )
      )
      const control = yield* Effect.exit(b.run("SELECT coalesce(size_bytes, 0)::bigint FROM $s.blobs"))
      assert.isTrue(Exit.isFailure(control), "the control: no size of the table would be read")
      const { backlog, breakers, audit, blobs, orphans, inspect } = b.database
      yield* inspect
      const found = yield* orphans.find(everything)
      assert.deepStrictEqual(
        found.map(({ sizeBytes }) => sizeBytes),
        clamped
      )
      const seen = found.map(({ digest }) => digest)
      yield* orphans.record(everything, { now: 10, seen, condemned: seen, sweep: "s" })
      const sum = 2 * Number.MAX_SAFE_INTEGER + 70
      assert.strictEqual((yield* backlog(10)).condemnedBytes, sum)
      const exposure = yield* breakers.exposure(null, 0)
      assert.deepInclude(exposure, { bytes: sum, totalBytes: sum })
      yield* breakers.trip("orphans", 10, { ...exposure, bytes: 2 ** 70, totalBytes: 2 ** 70 })
      assert.strictEqual((yield* breakers.read("orphans")).exposure?.bytes, 2 ** 63)
      assert.deepInclude((yield* audit.page("", null, 10))[4], { sizeBytes: null })
      assert.strictEqual(Option.getOrThrow(yield* blobs.locate("d1" as Digest)).sizeBytes, 0)
      assert.lengthOf(yield* orphans.condemned({ _tag: "All" }, null, 10), 7)
      assert.deepStrictEqual((yield* purgeAll(b)).purged, Object.keys(sizes))
      assert.strictEqual((yield* backlog(10)).journalDueBytes, sum)
    })
  )
}

const oddKeys = () => {
  it.effect("keys that no object can have are found, told apart, and never purged", () =>
    Effect.gen(function* () {
      const b = yield* bench()
      yield* b.run(
        `INSERT INTO $s.blobs VALUES ('d1', '', 1, now()), ('d2', 'k2', 1, now()), ('d3', repeat('ü', 513), 1, now()),
           ('d4', repeat('k', 1024), 1, now()), ('d5', E'\\x01 ..', 1, now())`
      )
      const { found, pages, purged } = yield* purgeAll(b, 2)
      assert.deepStrictEqual(
        found.map(({ digest, hasObject = true }) => [digest as string, hasObject]),
        [
          ["d1", false],
          ["d2", true],
          ["d3", false],
          ["d4", true],
          ["d5", true]
        ]
      )
      assert.deepStrictEqual(purged, ["d2", "d4", "d5"])
      assert.isAbove(pages.length, 2, "no page was stopped")
      yield* b.run("INSERT INTO $c.orphans VALUES ('d1', now()), ('d3', now())")
      assert.strictEqual((yield* b.database.backlog(10)).waiting, 0, "they wait for a person")
    })
  )
}

const oddInstants = () => {
  it.effect("instants beyond all calendars are read", () =>
    Effect.gen(function* () {
      for (const type of ["timestamptz", "timestamp"]) {
        const b = yield* bench({ names: { timeZone: "Pacific/Auckland" } })
        yield* b.run(
          `ALTER TABLE $s.blobs ALTER COLUMN created_at TYPE ${type}, ALTER COLUMN last_used_at TYPE ${type}`,
          ...["infinity", "-infinity", "4713-01-01 BC", "294276-12-31", "0044-03-15 BC"].map(
            (at, n) =>
              `INSERT INTO $s.blobs VALUES ('d${n}', 'k${n}', 1, '${at}', nullif('${at}', '-infinity')::${type})`
          )
        )
        yield* b.database.inspect
        const found = yield* b.database.orphans.find(everything)
        assert.lengthOf(found, 5)
        for (const [n, { usedAt }] of found.entries()) {
          assert.isTrue(Number.isFinite(usedAt), `d${n}: ${usedAt}`)
          assert.strictEqual(usedAt > farAhead, n === 0 || n === 3, `d${n}`)
        }
      }
    })
  )
}

const protect = `CREATE FUNCTION $s.protect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF OLD.digest IN ('d03', 'd11') THEN RAISE EXCEPTION 'blob % is protected', OLD.digest; END IF;
  RETURN OLD; END $$`

const refusedRows = () => {
  for (const [name, statement] of [
    ["at once", "TRIGGER protects BEFORE DELETE ON $s.blobs FOR EACH ROW EXECUTE FUNCTION $s.protect()"],
    [
      "at the commit",
      `CONSTRAINT TRIGGER protects AFTER DELETE ON $s.blobs DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION $s.protect()`
    ]
  ] as const) {
    it.effect(`rows that the database refuses to delete ${name} stay condemned, and the others go`, () =>
      Effect.gen(function* () {
        const b = yield* bench()
        yield* b.run(
          protect,
          `CREATE ${statement}`,
          "INSERT INTO $s.blobs SELECT 'd' || to_char(n, 'FM00'), 'k' || n, 1, now() FROM generate_series(1, 20) n"
        )
        const control = yield* Effect.exit(b.run("DELETE FROM $s.blobs"))
        assert.isTrue(Exit.isFailure(control), "the control: the page as a whole fails")
        const { pages, purged } = yield* purgeAll(b)
        assert.lengthOf(purged, 18)
        const refused = pages.flatMap((page) => page.refused ?? [])
        assert.deepStrictEqual(
          refused.map(({ digest }) => digest as string),
          ["d03", "d11"]
        )
        assert.match(refused[0]?.detail ?? "", /blob d03 is protected/)
        assert.lengthOf(yield* b.run("SELECT FROM $c.orphans"), 2)
        assert.lengthOf(yield* b.run("SELECT FROM $c.journal"), 18)
      })
    )
  }
}

export const oddRows = (): void => {
  describe("odd rows", () => {
    oddSizes()
    oddKeys()
    oddInstants()
    refusedRows()
  })
}
