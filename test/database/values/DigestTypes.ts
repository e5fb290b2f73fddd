/** A catalogue whose digests have another type than when the collector's tables were made. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as RegistryPostgres from "../../../src/oci/database/Postgres.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { type Bench, bench } from "../../fixtures/database/CatalogueBench.ts"

const migrate = (b: Bench) =>
  RegistryPostgres.migrate(b.names, {}).pipe(
    Effect.provide(Layer.fresh(Databases.client(b.place, { maxConnections: 1 })))
  )

/** Migrated for text, with an orphan, a candidate and a journaled key. Its owner then stores bytes. */
const altered = Effect.fnUntraced(function* (type = "bytea", using = "decode(digest, 'hex')") {
  const b = yield* bench()
  yield* b.run(
    "INSERT INTO $s.blobs VALUES ('01', 'k1', 1, timestamptz 'epoch'), ('02', 'k2', 1, timestamptz 'epoch')",
    "INSERT INTO $s.layers (digest) VALUES ('02')",
    "INSERT INTO $c.orphans VALUES ('01', now(), now())",
    "INSERT INTO $c.candidates (digest) VALUES ('01')",
    "INSERT INTO $c.journal VALUES ('gone', '00', 1, 'purged', now(), now())",
    "ALTER TABLE $s.layers DROP CONSTRAINT layers_digest_fkey",
    `ALTER TABLE $s.blobs ALTER COLUMN digest TYPE ${type} USING ${using}`,
    `ALTER TABLE $s.layers ALTER COLUMN digest TYPE ${type} USING ${using}`,
    "ALTER TABLE $s.layers ADD FOREIGN KEY (digest) REFERENCES $s.blobs"
  )
  return b
})

const columns = (b: Bench) =>
  b.run(
    `SELECT DISTINCT format_type(atttypid, atttypmod) AS type FROM pg_attribute a JOIN pg_class t ON t.oid = attrelid
     WHERE t.relnamespace = '$c'::regnamespace AND attname = 'digest' AND t.relkind = 'r'
       AND relname IN ('orphans', 'candidates', 'pins', 'suspects', 'tombstones')`
  )

export const digestTypes = (): void => {
  describe("a changed type of digests", () => {
    it.live("is refused by name, and `migrate` converts what is found again and keeps the journal", () =>
      Effect.gen(function* () {
        const b = yield* altered()
        const [problem, ...others] = yield* b.problems
        assert.lengthOf(others, 0)
        assert.deepInclude(problem, { kind: "DigestTypeChanged", fix: "Run: artifact-gc migrate" })
        assert.match(
          problem?.problem ?? "",
          /^column digest is text COLLATE pg_catalog."C", and .*digest is bytea$/
        )
        assert.deepStrictEqual(yield* migrate(b), [])
        assert.deepStrictEqual(yield* columns(b), [{ type: "bytea" }])
        assert.deepStrictEqual(yield* b.problems, [])
        assert.lengthOf(yield* b.run("SELECT FROM $c.journal"), 1)
        const [scan] = yield* b.run("SELECT wanted > done AS due, position FROM $c.scans")
        assert.deepStrictEqual(scan, { due: true, position: null })
        const found = yield* b.database.orphans.find({ after: null, upTo: null, blobs: 0 })
        assert.deepStrictEqual(
          found.map(({ digest, seenAt }) => [digest as string, seenAt]),
          [["\\x01", null]]
        )
      }).pipe(Effect.scoped)
    )

    it.live("is converted with every row between types of text", () =>
      Effect.gen(function* () {
        const b = yield* altered("varchar(9)", 'digest COLLATE "POSIX"')
        yield* b.run(
          "INSERT INTO $c.pins VALUES ('p', '01', now())",
          "INSERT INTO $c.tombstones VALUES ('00', now())"
        )
        yield* migrate(b)
        assert.deepStrictEqual(yield* columns(b), [{ type: "character varying(9)" }])
        assert.lengthOf(yield* b.run("SELECT FROM $c.pins WHERE digest = '01'"), 1)
        assert.lengthOf(yield* b.run("SELECT FROM $c.tombstones WHERE digest = '00'"), 1)
      }).pipe(Effect.scoped)
    )

    it.live("is refused while rows exist that cannot be converted, and the fix lets `migrate` pass", () =>
      Effect.gen(function* () {
        const b = yield* altered()
        yield* b.run(
          "INSERT INTO $c.pins VALUES ('p', '01', now())",
          "INSERT INTO $c.tombstones VALUES ('00', now())"
        )
        const refused = yield* Effect.flip(migrate(b))
        if (refused._tag !== "SchemaRefused") return assert.fail(refused._tag)
        assert.deepStrictEqual(
          refused.problems.map(({ kind, table }) => [kind, table.replace(b.names.collectorSchema, "c")]),
          [
            ["DigestTypeChanged", "c.pins"],
            ["DigestTypeChanged", "c.tombstones"]
          ]
        )
        assert.deepStrictEqual(yield* columns(b), [{ type: "text" }])
        assert.lengthOf(yield* b.run("SELECT FROM $c.orphans"), 1)
        const statements = refused.problems.flatMap(({ fix }) => fix.match(/DELETE FROM [^;]*/) ?? [])
        yield* b.run(...statements)
        yield* migrate(b)
        assert.deepStrictEqual(yield* b.problems, [])
      }).pipe(Effect.scoped)
    )
  })
}
