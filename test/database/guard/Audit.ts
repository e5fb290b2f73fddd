/** The audit on catalogues of other shapes: its pages follow the store's order for every type of column. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Digest } from "../../../src/domain/Digest.ts"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { type Bench, bench } from "../../fixtures/database/CatalogueBench.ts"

const table = (keyColumn: string, digest = "text", size = "bigint") => [
  `CREATE TABLE $s.blobs (digest ${digest} PRIMARY KEY, object_key ${keyColumn} NOT NULL UNIQUE, size_bytes ${size},
     created_at timestamptz NOT NULL, last_used_at timestamptz)`,
  `CREATE TABLE $s.layers (id serial PRIMARY KEY, digest ${digest} REFERENCES $s.blobs)`,
  "CREATE INDEX ON $s.layers (digest)"
]
const row = (digest: string, key: string, size = "7") =>
  `INSERT INTO $s.blobs VALUES (${digest}, '${key}', ${size}, timestamptz 'epoch')`

/** In the order of bytes; a language would put them a, A, á, b, B. */
const keys = ["A", "B", "a", "b", "á", "\uffff", "\u{1f600}"]

const pageByPage = Effect.fnUntraced(function* ({ database: { audit } }: Bench) {
  const found: Array<string> = []
  let after: ObjectKey | null = null
  do {
    const page: Effect.Success<ReturnType<typeof audit.page>> = yield* audit.page("", after, 2)
    found.push(...page.map(({ key }) => key))
    after = page.at(-1)?.key ?? null
  } while (after !== null)
  return found
})

const keyColumns = {
  "an ICU collation": 'text COLLATE "en-x-icu"',
  "another language and limited length": 'varchar(100) COLLATE "und-x-icu"',
  "a limited length": 'varchar(100) COLLATE "C"',
  "the database's collation": "text"
}

const reading = (): void => {
  for (const [what, column] of Object.entries(keyColumns)) {
    it.effect(`reads keys in the order of bytes from a column of ${what}`, () =>
      Effect.gen(function* () {
        const b = yield* bench({
          catalogue: [...table(column), ...keys.map((key, n) => row(`'d${n}'`, key)).reverse()]
        })
        assert.deepStrictEqual(yield* pageByPage(b), keys)
        const found = yield* b.database.audit.lookup(
          keys as ReadonlyArray<string> as ReadonlyArray<ObjectKey>
        )
        assert.deepStrictEqual(
          found.map(({ key }) => key as string),
          keys
        )
      })
    )
  }

  it.effect("renders digests of any type as text, and a missing size as null", () =>
    Effect.gen(function* () {
      const b = yield* bench({
        catalogue: [
          ...table("text", "bytea", "numeric(20)"),
          row("'\\xabcd'", "k1"),
          row("'\\xef'", "k2", "NULL")
        ]
      })
      assert.deepStrictEqual(yield* b.database.audit.page("", null, 10), [
        { key: "k1" as ObjectKey, owner: "blob", digest: "\\xabcd" as Digest, sizeBytes: 7 },
        { key: "k2" as ObjectKey, owner: "blob", digest: "\\xef" as Digest, sizeBytes: null }
      ])
    })
  )
}

const referring = (): void => {
  it.effect(
    "names referring rows by their whole primary key, in its order; by place where they have none",
    () =>
      Effect.gen(function* () {
        const b = yield* bench({
          catalogue: [
            ...table("text", "bytea"),
            `CREATE TABLE $s.manifests (tag text, "the repo" text, n int, config bytea REFERENCES $s.blobs,
             PRIMARY KEY ("the repo", n, tag))`,
            "CREATE INDEX ON $s.manifests (config)",
            "CREATE TABLE $s.loose (blob bytea REFERENCES $s.blobs)",
            "CREATE INDEX ON $s.loose (blob)",
            row("'\\x01'", "k"),
            row("'\\x02'", "other"),
            "INSERT INTO $s.manifests VALUES ('latest', 'app', 2, '\\x01'), ('v1', 'app', 10, '\\x01'), ('v2', 'app', 3, '\\x02')",
            "INSERT INTO $s.loose VALUES ('\\x02'), ('\\x01'), (NULL)"
          ]
        })
        yield* b.database.inspect
        const found = yield* b.database.audit.referrers("\\x01" as Digest)
        assert.deepStrictEqual(found, [
          { table: `${b.names.schema}.loose`, column: "blob", rows: 1, sample: ["(0,2)"] },
          {
            table: `${b.names.schema}.manifests`,
            column: "config",
            rows: 2,
            sample: ["app 10 v1", "app 2 latest"]
          }
        ])
      })
  )

  it.effect("follows references to another column than the digest", () =>
    Effect.gen(function* () {
      const b = yield* bench({
        names: { timeZone: "UTC" },
        catalogue: [
          `CREATE TABLE $s.blobs (id int PRIMARY KEY, digest text UNIQUE NOT NULL, object_key text NOT NULL UNIQUE,
             size_bytes int, created_at timestamp NOT NULL, last_used_at timestamp)`,
          "CREATE TABLE $s.layers (id int PRIMARY KEY, blob_id int REFERENCES $s.blobs (id))",
          "CREATE INDEX ON $s.layers (blob_id)",
          "INSERT INTO $s.blobs VALUES (1, '2', 'k2', 1, now()), (2, '1', 'k1', 1, now())",
          "INSERT INTO $s.layers VALUES (10, 1), (20, 2)"
        ]
      })
      yield* b.database.inspect
      const [found] = yield* b.database.audit.referrers("1" as Digest)
      assert.deepStrictEqual(found?.sample, ["20"])
    })
  )
}

const indexed = (): void => {
  const rows = `INSERT INTO $s.blobs SELECT 'd' || n, 'k' || n, n, now() FROM generate_series(1, 2000) n`
  const missing = { "an ICU collation": 'text COLLATE "en-x-icu"', "the database's collation": "text" }
  for (const [what, column] of Object.entries(missing)) {
    it.effect(`names the index that would help a column of ${what}, until it exists`, () =>
      Effect.gen(function* () {
        const b = yield* bench({ catalogue: [...table(column), rows] })
        const statement = (yield* b.database.audit.missingIndex) ?? ""
        assert.strictEqual(
          statement,
          `CREATE INDEX CONCURRENTLY ON "${b.names.schema}"."blobs" ("object_key" COLLATE "C");`
        )
        yield* b.run(statement)
        assert.isNull(yield* b.database.audit.missingIndex)
      })
    )
  }

  it.effect("accepts no other index: partial, of another order, or not beginning with the key", () =>
    Effect.gen(function* () {
      const b = yield* bench({
        catalogue: [
          ...table("text"),
          `CREATE INDEX ON $s.blobs (object_key COLLATE "C") WHERE size_bytes > 0`,
          `CREATE INDEX ON $s.blobs (digest, object_key COLLATE "C")`,
          `CREATE INDEX ON $s.blobs USING hash (object_key)`,
          `CREATE INDEX ON $s.blobs (object_key COLLATE "de-x-icu")`
        ]
      })
      assert.isNotNull(yield* b.database.audit.missingIndex)
    })
  )

  it.effect("gives a statement that works for partitioned tables", () =>
    Effect.gen(function* () {
      const b = yield* bench({
        catalogue: [
          `CREATE TABLE $s.blobs (digest text, object_key text NOT NULL, size_bytes bigint,
             created_at timestamptz NOT NULL, last_used_at timestamptz) PARTITION BY HASH (digest)`,
          "CREATE TABLE $s.part PARTITION OF $s.blobs FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
        ]
      })
      const statement = (yield* b.database.audit.missingIndex) ?? ""
      yield* b.run(statement)
      assert.isNull(yield* b.database.audit.missingIndex)
    })
  )
}

export const audit = (): void => {
  describe("the audit of other catalogues", () => {
    reading()
    referring()
    indexed()
  })
}
