/** Columns without a time zone. Grace must count from the instant that the other program meant. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import type { Digest } from "../../../src/domain/Digest.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { type Bench, bench, plain } from "../../fixtures/database/CatalogueBench.ts"

const minute = 60_000

/** A catalogue whose program writes local times of `zone`, by a session in that zone. */
const local = (zone: string): ReadonlyArray<string> => [
  `CREATE TABLE $s.blobs (digest text COLLATE "C" PRIMARY KEY, object_key text NOT NULL UNIQUE, size_bytes bigint,
     created_at timestamp NOT NULL, last_used_at timestamp(3))`,
  `CREATE TABLE $s.layers (id serial PRIMARY KEY, digest text COLLATE "C" REFERENCES $s.blobs)`,
  "CREATE INDEX ON $s.layers (digest)",
  `CREATE FUNCTION $s.ago(seconds int) RETURNS timestamp LANGUAGE sql SET TimeZone = '${zone}'
     AS 'SELECT (now() - seconds * interval ''1 second'')::timestamp'`,
  `INSERT INTO $s.blobs VALUES ('idle', 'k1', 1, $s.ago(864000), $s.ago(7200)), ('new', 'k2', 1, $s.ago(5), NULL),
     ('used', 'k3', 1, $s.ago(864000), $s.ago(5))`
]

/** Purges what was condemned two minutes ago and not used for one, and returns the digests that are left. */
const purgeIdle = Effect.fnUntraced(function* (b: Bench) {
  yield* b.database.inspect
  yield* b.run(
    `INSERT INTO $c.orphans SELECT digest, now() - interval '2 minutes', now() - interval '2 minutes' FROM $s.blobs`
  )
  const now = yield* Clock.currentTimeMillis
  const cutoff = now - minute
  yield* b.database.orphans.purge({
    now,
    condemnedCutoff: cutoff,
    seenCutoff: cutoff,
    usedCutoff: cutoff,
    limit: 10,
    after: null,
    deleteNotBefore: now,
    leaseUntil: null
  })
  return (yield* b.run("SELECT digest FROM $s.blobs ORDER BY 1")).map(({ digest }) => digest)
})

const usedAtOf = Effect.fnUntraced(function* (b: Bench, digest: string) {
  yield* b.database.inspect
  const found = yield* b.database.orphans.find({ after: null, upTo: null, blobs: 0 })
  return found.find((orphan) => orphan.digest === digest)?.usedAt ?? Number.NaN
})

const zones = ["America/St_Johns", "Asia/Tokyo"] as const

/** Without the zone, local times are taken for UTC. */
const withoutIt: Record<(typeof zones)[number], Array<string>> = {
  // Three and a half hours ago.
  "America/St_Johns": [],
  "Asia/Tokyo": ["idle", "new", "used"]
}

const written = () => {
  for (const zone of zones) {
    it.live(`are read in ${zone}: blobs that were used seconds ago are kept`, () =>
      Effect.gen(function* () {
        const b = yield* bench({ catalogue: local(zone), names: { timeZone: zone } })
        assert.deepStrictEqual(yield* purgeIdle(b), ["new", "used"])
        const control = yield* bench({ catalogue: local(zone), names: { timeZone: "UTC" } })
        assert.deepStrictEqual(yield* purgeIdle(control), withoutIt[zone], "the control")
      }).pipe(Effect.scoped)
    )
  }

  it.live("are written in the zone by the blob store's verbs", () =>
    Effect.gen(function* () {
      const [zone] = zones
      const b = yield* bench({ catalogue: local(zone), names: { timeZone: zone } })
      const { blobs } = b.database
      const [digest, key] = ["stored" as Digest, ObjectKey.make("k9")]
      const now = yield* Clock.currentTimeMillis
      yield* blobs.intend([{ key, digest, expiresAt: now + minute }])
      yield* blobs.publish(now, [{ key, digest, sizeBytes: 1, references: [] }])
      const [row] = yield* b.run(
        "SELECT abs(extract(epoch FROM created_at - $s.ago(0)))::int AS off FROM $s.blobs WHERE digest = 'stored'"
      )
      assert.isBelow(Number(row?.off), 30, "as the other program would have written it")
      assert.strictEqual(yield* usedAtOf(b, digest), now)
      const later = now + 20 * minute
      yield* blobs.adopt(later, [], { pins: [{ id: "p", digest, expiresAt: later }] })
      yield* blobs.unpin(["p"])
      assert.strictEqual(yield* usedAtOf(b, digest), later)
      yield* blobs.adopt(later + minute, [], { pins: [{ id: "p", digest, expiresAt: later }] })
      yield* blobs.unpin(["p"])
      assert.strictEqual(yield* usedAtOf(b, digest), later, "marked used only every quarter of an hour")
    }).pipe(Effect.scoped)
  )

  it.live("that occur twice or never, when clocks are changed, mean the later instant", () =>
    Effect.gen(function* () {
      const [zone] = zones
      const b = yield* bench({ catalogue: local(zone), names: { timeZone: zone } })
      yield* b.run(
        "UPDATE $s.blobs SET created_at = '2026-11-01 01:30', last_used_at = NULL WHERE digest = 'idle'",
        "UPDATE $s.blobs SET created_at = '2026-03-08 02:30', last_used_at = NULL WHERE digest = 'new'"
      )
      // 01:30 was at 04:00 and 05:00 UTC. 02:30 would be 05:00 in summer and 06:00 in winter time.
      assert.strictEqual(yield* usedAtOf(b, "idle"), Date.parse("2026-11-01T05:00:00Z"))
      assert.strictEqual(yield* usedAtOf(b, "new"), Date.parse("2026-03-08T06:00:00Z"))
    }).pipe(Effect.scoped)
  )
}

const refused = () => {
  it.live("are refused by name without CATALOG_TIME_ZONE, and where the server does not know the zone", () =>
    Effect.gen(function* () {
      for (const [timeZone, problem] of [
        [null, /^column created_at has no time zone, so grace would end/],
        ["Asia/Edo", /the server knows no zone named Asia\/Edo/],
        // An abbreviation is no zone: it has no summer time.
        ["EST5", /the server knows no zone named EST5/]
      ] as const) {
        const b = yield* bench({ catalogue: local("Asia/Tokyo"), names: { timeZone } })
        const problems = yield* b.problems
        assert.deepStrictEqual(
          problems.map(({ kind, table }) => [kind, table.replace(b.names.schema, "s")]),
          [
            ["MissingTimeZone", "s.blobs"],
            ["MissingTimeZone", "s.blobs"]
          ]
        )
        assert.match(problems[0]?.problem ?? "", problem)
        assert.include(problems[0]?.fix, "Set CATALOG_TIME_ZONE")
      }
    }).pipe(Effect.scoped)
  )

  it.live("can be made instants by the statement of the fix", () =>
    Effect.gen(function* () {
      const b = yield* bench({ catalogue: local("Asia/Tokyo") })
      const fixes = (yield* b.problems).map((problem) => plain(b, problem).fix.split("lock: ")[1] ?? "")
      assert.lengthOf(fixes, 2)
      const statements = fixes.map((fix) => fix.replace('"s"', "$s").replace("your zone", "Asia/Tokyo"))
      yield* b.run(...statements)
      assert.deepStrictEqual(yield* b.problems, [])
      assert.deepStrictEqual(yield* purgeIdle(b), ["new", "used"])
    }).pipe(Effect.scoped)
  )
}

export const timeZones = (): void => {
  describe("instants without a time zone", () => {
    written()
    refused()
  })
}
