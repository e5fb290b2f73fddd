/** Sweeps of catalogues of other shapes: orphans are deleted, all other blobs stay. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { ClaimedSlice, PurgeCursor, ScanEnd } from "../../../src/database/Database.ts"
import type { Digest } from "../../../src/domain/Digest.ts"
import type { Database } from "../../fixtures/Database.ts"
import { type BenchOptions, bench } from "../../fixtures/database/CatalogueBench.ts"

/**
 * Runs the statements of a whole sweep in slices and pages of two. Returns what it found and the purged keys.
 */
const sweep = Effect.fnUntraced(function* ({ inspect, orphans, journal }: Database["Service"]) {
  yield* inspect
  let end: ScanEnd | null = null
  const found: Array<Digest> = []
  for (let slices = 0; ; slices++) {
    assert.isBelow(slices, 20, "the scan comes round")
    const claimed: Option.Option<ClaimedSlice> = yield* orphans.claimSlice(2, end)
    if (Option.isNone(claimed)) break
    const slice: ClaimedSlice = claimed.value
    end ??= { pass: slice.pass + 1, after: slice.after }
    const seen = (yield* orphans.find(slice)).map((orphan) => orphan.digest)
    found.push(...seen)
    yield* orphans.record(slice, { now: 10, seen, condemned: seen, sweep: "s" })
  }
  const again = (yield* orphans.find({ after: null, upTo: null, blobs: 0 })).filter(
    (orphan) => orphan.condemnedAt === 10
  )
  assert.deepStrictEqual([...found].sort(), again.map((orphan) => orphan.digest).sort())
  const purged: Array<string> = []
  let after: PurgeCursor | null = null
  do {
    const page: Effect.Success<ReturnType<typeof orphans.purge>> = yield* orphans.purge({
      now: 10,
      condemnedCutoff: 10,
      seenCutoff: 4_000_000_000_000,
      usedCutoff: 10,
      limit: 2,
      after,
      deleteNotBefore: 10,
      leaseUntil: null
    })
    purged.push(...page.purged.map((blob) => blob.key))
    after = page.next
  } while (after !== null)
  const { entries } = yield* journal.claim(10, 20, 100)
  assert.deepStrictEqual(entries.map((entry) => entry.key).sort(), purged.sort())
  return { found, purged }
})

interface Catalogue extends BenchOptions {
  readonly catalogue: ReadonlyArray<string>
  /** The keys that are left. */
  readonly keeps: string
}

/** Registers a test: every blob of the catalogue is purged, except those whose keys `keeps` returns. */
const sweeps = (what: string, { keeps, ...options }: Catalogue): void => {
  it.effect(`are swept: ${what}`, () =>
    Effect.gen(function* () {
      const b = yield* bench(options)
      const keys = Effect.map(b.run(keeps), (found) => found.map((row) => String(row.key)))
      const blobs = `$s."${b.names.blobsTable.replaceAll('"', '""')}"`
      const column = `"${b.names.keyColumn.replaceAll('"', '""')}"`
      const all = Effect.map(b.run(`SELECT ${column} AS key FROM ${blobs} ORDER BY 1`), (found) =>
        found.map((row) => String(row.key))
      )
      const [before, kept] = [yield* all, yield* keys]
      assert.isNotEmpty(kept)
      const { purged } = yield* sweep(b.database)
      assert.deepStrictEqual(yield* all, kept.sort())
      assert.deepStrictEqual(
        [...purged, ...kept].sort(),
        before.sort(),
        "each blob is either kept or its key is journaled"
      )
    })
  )
}

const blobsBy = (digest: string, collate = "") => [
  `CREATE TABLE $s.blobs (digest ${digest}${collate} PRIMARY KEY, object_key text NOT NULL UNIQUE, size_bytes bigint,
     created_at timestamptz NOT NULL, last_used_at timestamptz)`,
  `CREATE TABLE $s.layers (id serial PRIMARY KEY, digest ${digest}${collate} REFERENCES $s.blobs)`,
  "CREATE INDEX ON $s.layers (digest)"
]
/** Seven blobs by an expression of n. The second and the fifth are referenced. */
const seven = (digest: string) => [
  `INSERT INTO $s.blobs SELECT ${digest}, 'key ' || n, n, timestamptz 'epoch' FROM generate_series(1, 7) n`,
  `INSERT INTO $s.layers (digest) SELECT ${digest} FROM unnest(ARRAY[2, 5]) n`
]
const referenced = "SELECT object_key AS key FROM $s.blobs WHERE digest IN (SELECT digest FROM $s.layers)"

const digests = (): void => {
  sweeps("digests that are bytes", {
    catalogue: [...blobsBy("bytea"), ...seven("sha256(n::text::bytea)")],
    keeps: referenced
  })
  sweeps("digests that are UUIDs", {
    catalogue: [...blobsBy("uuid"), ...seven("md5(n::text)::uuid")],
    keeps: referenced
  })
  sweeps("digests that are numbers", {
    catalogue: [...blobsBy("bigint"), ...seven("n - 4")],
    keeps: referenced
  })
  sweeps("digests of limited length", {
    catalogue: [...blobsBy("varchar(71)"), ...seven("'sha256:' || encode(sha256(n::text::bytea), 'hex')")],
    keeps: referenced
  })
  const letters = [
    ...blobsBy("text", ' COLLATE "en-x-icu"'),
    ...seven("(ARRAY['a', 'B', 'c', 'D', 'e', 'F', 'g'])[n]")
  ]
  sweeps("digests in upper and lower case, sorted as a language does", {
    catalogue: letters,
    keeps: referenced
  })

  it.effect("are scanned in their own order, to where the scan began in that order", () =>
    Effect.gen(function* () {
      const { orphans, inspect } = (yield* bench({ catalogue: letters })).database
      yield* inspect
      yield* orphans.claimSlice(3, null)
      const end = { pass: 2, after: "c" as Digest }
      const claimed: Array<string | null> = []
      for (let n = 0; n < 6; n++) {
        const slice = yield* orphans.claimSlice(2, end)
        if (Option.isSome(slice)) claimed.push(slice.value.upTo)
      }
      assert.deepStrictEqual(claimed, ["e", "g", null, "B", "D"])
    })
  )
}

const oddRows = (): void => {
  sweeps("rows with keys that no store takes, which are kept and hold nothing up", {
    catalogue: [
      ...blobsBy("text"),
      ...seven("'d' || n"),
      "UPDATE $s.blobs SET object_key = '' WHERE digest = 'd1'",
      "UPDATE $s.blobs SET object_key = repeat('ü', 513) WHERE digest = 'd7'"
    ],
    keeps: `${referenced} OR digest IN ('d1', 'd7')`
  })
  sweeps("rows with digests that are empty or long, and sizes that are missing", {
    catalogue: [
      ...blobsBy("text"),
      ...seven("CASE n WHEN 1 THEN '' WHEN 2 THEN 'd2' ELSE repeat(n::text, 600) END").slice(0, 1),
      "INSERT INTO $s.layers (digest) VALUES ('d2')",
      "UPDATE $s.blobs SET size_bytes = NULL"
    ],
    keeps: referenced
  })
}

const instants = (): void => {
  sweeps("instants to the microsecond, without a zone, and beyond all calendars", {
    names: { timeZone: "UTC" },
    catalogue: [
      ...blobsBy("text"),
      "ALTER TABLE $s.blobs ALTER COLUMN created_at TYPE timestamp",
      ...seven("'d' || n"),
      "UPDATE $s.blobs SET created_at = timestamp 'epoch' + interval '10 ms' WHERE digest = 'd1'",
      "UPDATE $s.blobs SET created_at = timestamp 'epoch' + interval '10.001 ms' WHERE digest = 'd3'",
      "UPDATE $s.blobs SET created_at = 'infinity' WHERE digest = 'd6'",
      "UPDATE $s.blobs SET created_at = '-infinity' WHERE digest = 'd7'"
    ],
    keeps: `${referenced} OR digest IN ('d3', 'd6')`
  })
}

const names = (): void => {
  sweeps("a catalogue that keeps no dates of use", {
    names: { lastUsedAtColumn: null },
    catalogue: [
      ...blobsBy("text"),
      "ALTER TABLE $s.blobs DROP COLUMN last_used_at",
      ...seven("'d' || n"),
      "UPDATE $s.blobs SET created_at = now() WHERE digest = 'd7'"
    ],
    keeps: `${referenced} OR digest = 'd7'`
  })
  const own = Math.random().toString(36).slice(2)
  sweeps("names with capitals, spaces, quotes and dots", {
    names: {
      schema: `My "Registry" v1.0 ${own}`,
      blobsTable: 'The "Blobs".all',
      digestColumn: "SHA 256",
      keyColumn: 'S3."Key"',
      sizeColumn: "Size; DROP TABLE",
      createdAtColumn: "Created At",
      lastUsedAtColumn: "select",
      collectorSchema: `Artifact "GC".v2 ${own}`
    },
    catalogue: [
      `CREATE TABLE $s."The ""Blobs"".all" ("SHA 256" text COLLATE "C" PRIMARY KEY, "S3.""Key""" text NOT NULL UNIQUE,
         "Size; DROP TABLE" bigint, "Created At" timestamptz NOT NULL, "select" timestamptz)`,
      `CREATE TABLE $s."Layer's ""refs""" ("group" text COLLATE "C" CONSTRAINT "a 'key'" REFERENCES $s."The ""Blobs"".all")`,
      `CREATE INDEX ON $s."Layer's ""refs""" ("group")`,
      `INSERT INTO $s."The ""Blobs"".all" SELECT 'd' || n, 'key ' || n, n, timestamptz 'epoch' FROM generate_series(1, 5) n`,
      `INSERT INTO $s."Layer's ""refs""" VALUES ('d2')`
    ],
    keeps: "SELECT 'key 2' AS key"
  })
}

const references = (): void => {
  sweeps("references by number, not by digest", {
    names: { timeZone: "UTC" },
    catalogue: [
      `CREATE TABLE $s.blobs (id bigint PRIMARY KEY, digest text UNIQUE NOT NULL, object_key text NOT NULL UNIQUE,
         size_bytes int, created_at timestamp NOT NULL, last_used_at timestamp)`,
      "CREATE TABLE $s.layers (blob_id bigint REFERENCES $s.blobs (id))",
      "CREATE INDEX ON $s.layers (blob_id)",
      // Numbers fall as digests rise, so a bound on one cannot be taken for a bound on the other.
      "INSERT INTO $s.blobs SELECT 8 - n, 'd' || n, 'key ' || n, n, timestamp 'epoch' FROM generate_series(1, 7) n",
      "INSERT INTO $s.layers VALUES (1), (6), (NULL)"
    ],
    keeps: "SELECT object_key AS key FROM $s.blobs WHERE id IN (1, 6)"
  })
  sweeps("references from several tables, of which any one keeps", {
    catalogue: [
      ...blobsBy("text"),
      ...seven("'d' || n"),
      "CREATE SCHEMA $s2",
      "CREATE TABLE $s2.layers (digest text PRIMARY KEY REFERENCES $s.blobs)",
      "INSERT INTO $s2.layers VALUES ('d5'), ('d7')"
    ].map((statement) => statement.replaceAll("$s2", `elsewhere_${own}`)),
    keeps: `${referenced} OR digest = 'd7'`
  })
  sweeps("two references of one row", {
    catalogue: [
      ...blobsBy("text"),
      "ALTER TABLE $s.layers ADD COLUMN config text REFERENCES $s.blobs",
      "CREATE INDEX ON $s.layers (config)",
      ...seven("'d' || n"),
      "UPDATE $s.layers SET config = 'd7' WHERE digest = 'd2'"
    ],
    keeps: `${referenced} OR digest = 'd7'`
  })
  sweeps("references from a partitioned table", {
    catalogue: [
      ...blobsBy("text").slice(0, 1),
      "CREATE TABLE $s.layers (n int, digest text REFERENCES $s.blobs) PARTITION BY RANGE (n)",
      "CREATE INDEX ON $s.layers (digest)",
      "CREATE TABLE $s.low PARTITION OF $s.layers FOR VALUES FROM (0) TO (10)",
      "CREATE TABLE $s.high PARTITION OF $s.layers FOR VALUES FROM (10) TO (20)",
      ...seven("'d' || n").slice(0, 1),
      "INSERT INTO $s.layers VALUES (1, 'd1'), (12, 'd6')"
    ],
    keeps: referenced
  })
  sweeps("blobs that other blobs are based on, while those are there", {
    catalogue: [
      ...blobsBy("text"),
      "ALTER TABLE $s.blobs ADD COLUMN base text REFERENCES $s.blobs",
      "CREATE INDEX ON $s.blobs (base)",
      ...seven("'d' || n"),
      "UPDATE $s.blobs SET base = 'd1' WHERE digest IN ('d2', 'd6')",
      "UPDATE $s.blobs SET base = 'd4' WHERE digest = 'd7'"
    ],
    keeps: `${referenced} OR digest IN ('d1', 'd4')`
  })
}

const own = Math.random().toString(36).slice(2)

export const catalogues = (): void => {
  describe("other catalogues", () => {
    digests()
    oddRows()
    instants()
    names()
    references()
  })
}
