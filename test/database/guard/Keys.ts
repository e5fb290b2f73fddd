/** The problems of foreign keys. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { guardUnannouncedWriters } from "../../../src/database/Postgres.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { accepts, bench, refuses, repair, sound } from "../../fixtures/database/CatalogueBench.ts"

/** Declares the one foreign key of the sound catalogue again. */
const redeclared = (rest: string) => [
  `ALTER TABLE $s.layers DROP CONSTRAINT layers_digest_fkey,
     ADD CONSTRAINT layers_digest_fkey FOREIGN KEY (digest) REFERENCES $s.blobs ${rest}`
]
const key = { table: "s.layers", constraint: "layers_digest_fkey" }

const destructive = (): void => {
  for (const action of ["CASCADE", "SET NULL", "SET DEFAULT"]) {
    refuses(`ON DELETE ${action}`, {
      given: redeclared(`ON DELETE ${action}`),
      expected: [
        {
          ...key,
          kind: "DestructiveForeignKey",
          problem: `ON DELETE ${action} would destroy references when a blob is purged. The fix changes what the key means: a program that deletes blobs itself may rely on ${action}, and its deletes fail afterwards`,
          fix: `ALTER TABLE "s"."layers" DROP CONSTRAINT "layers_digest_fkey", ADD CONSTRAINT "layers_digest_fkey" FOREIGN KEY (digest) REFERENCES "s"."blobs" (digest) NOT VALID; -- later, without blocking writers: ALTER TABLE "s"."layers" VALIDATE CONSTRAINT "layers_digest_fkey";`
        }
      ]
    })
  }

  it.effect("fixes a destructive key without changing the rest of its declaration", () =>
    Effect.gen(function* () {
      const b = yield* bench()
      const rest = "MATCH FULL ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"
      yield* b.run(...redeclared(rest))
      yield* repair(b, yield* b.problems)
      const [found] = yield* b.run(
        "SELECT pg_get_constraintdef(oid) AS declared FROM pg_constraint WHERE conrelid = '$s.layers'::regclass AND contype = 'f'"
      )
      assert.include(found?.declared, "MATCH FULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED")
      assert.notInclude(found?.declared, "ON DELETE")
    })
  )

  accepts("ON DELETE RESTRICT, checked at once", redeclared("ON DELETE RESTRICT"))
  accepts("a check at the end of the transaction", redeclared("DEFERRABLE INITIALLY DEFERRED"))
  accepts("a key that was not validated, which is enforced nevertheless", redeclared("NOT VALID"))
}

const unenforced = (): void => {
  const disabled = {
    ...key,
    kind: "UnenforcedForeignKey",
    problem: "the foreign key's triggers are disabled"
  } as const
  refuses("a reference table whose triggers are disabled", {
    given: ["ALTER TABLE $s.layers DISABLE TRIGGER ALL"],
    expected: [disabled]
  })
  refuses("a catalogue whose triggers are disabled", {
    given: ["ALTER TABLE $s.blobs DISABLE TRIGGER ALL"],
    expected: [disabled]
  })
  refuses("triggers that fire on a replica only", {
    given: [
      `DO $$ DECLARE t text; BEGIN
         SELECT tgname INTO t FROM pg_trigger WHERE tgrelid = '$s.layers'::regclass LIMIT 1;
         EXECUTE format('ALTER TABLE $s.layers ENABLE REPLICA TRIGGER %I', t);
       END $$`
    ],
    expected: [disabled]
  })
  refuses("a partition whose triggers are disabled", {
    given: [
      `CREATE TABLE $s.parts (n int, digest text COLLATE "C" REFERENCES $s.blobs) PARTITION BY LIST (n)`,
      "CREATE INDEX ON $s.parts (digest)",
      "CREATE TABLE $s.part_one PARTITION OF $s.parts FOR VALUES IN (1)",
      "ALTER TABLE $s.part_one DISABLE TRIGGER ALL"
    ],
    expected: [{ ...disabled, table: "s.part_one", constraint: "parts_digest_fkey" }]
  })
  refuses("a key that is NOT ENFORCED", {
    given: redeclared("NOT ENFORCED"),
    expected: [{ ...key, kind: "UnenforcedForeignKey", problem: "the foreign key is NOT ENFORCED" }]
  })
}

const unsupported = (): void => {
  const pair = ["ALTER TABLE $s.blobs ADD COLUMN tenant int DEFAULT 1, ADD UNIQUE (tenant, digest)"]
  const several = `CREATE TABLE $s.pairs (tenant int, digest text COLLATE "C", CONSTRAINT pair FOREIGN KEY (tenant, digest)
    REFERENCES $s.blobs (tenant, digest)`
  refuses("a key over several columns", {
    given: [...pair, `${several})`, "CREATE INDEX ON $s.pairs (tenant)"],
    expected: [
      {
        table: "s.pairs",
        constraint: "pair",
        kind: "UnsupportedForeignKey",
        problem: "the foreign key spans 2 columns",
        fix: `Reference "s"."blobs" by one column.`
      }
    ],
    fixable: false
  })
  refuses("such a key that cascades, with a statement that keeps all its columns", {
    given: [...pair, `${several} ON DELETE CASCADE)`, "CREATE INDEX ON $s.pairs (tenant)"],
    expected: [
      { kind: "UnsupportedForeignKey" },
      {
        kind: "DestructiveForeignKey",
        fix: `ALTER TABLE "s"."pairs" DROP CONSTRAINT "pair", ADD CONSTRAINT "pair" FOREIGN KEY (tenant, digest) REFERENCES "s"."blobs" (tenant, digest) NOT VALID; -- later, without blocking writers: ALTER TABLE "s"."pairs" VALIDATE CONSTRAINT "pair";`
      }
    ],
    fixable: false
  })
  refuses("a reference with another collation", {
    given: [
      "CREATE TABLE $s.names (digest varchar(200) REFERENCES $s.blobs)",
      "CREATE INDEX ON $s.names (digest)"
    ],
    expected: [
      {
        table: "s.names",
        constraint: "names_digest_fkey",
        kind: "UnsupportedForeignKey",
        problem: "column digest has another collation than the column it refers to",
        fix: `ALTER TABLE "s"."names" ALTER COLUMN "digest" TYPE character varying(200) COLLATE pg_catalog."C";`
      }
    ]
  })
}

const generatedKeys = (): void => {
  const generated = [
    "ALTER TABLE $s.blobs DROP COLUMN object_key",
    `ALTER TABLE $s.blobs ADD COLUMN object_key text NOT NULL GENERATED ALWAYS AS ('blobs/' || digest) STORED UNIQUE`
  ]
  accepts("a key column that PostgreSQL computes", generated)
  it.effect("refuses triggers against unannounced writers beside such a column, and installs none", () =>
    Effect.gen(function* () {
      const b = yield* bench({ catalogue: [...sound, ...generated] })
      const refused = yield* Effect.flip(guardUnannouncedWriters(b.names)).pipe(
        Effect.provide(Databases.client(b.place))
      )
      assert.strictEqual(refused._tag, "SchemaRefused")
      assert.include(refused.message, "column object_key is generated")
      assert.lengthOf(
        yield* b.run("SELECT FROM pg_trigger WHERE tgrelid = '$s.blobs'::regclass AND NOT tgisinternal"),
        0
      )
    })
  )
  it.effect("refuses a column that became one after the triggers were installed", () =>
    Effect.gen(function* () {
      const b = yield* bench()
      yield* guardUnannouncedWriters(b.names).pipe(Effect.provide(Databases.client(b.place)))
      yield* b.run(...generated)
      assert.deepInclude(
        (yield* b.problems).map(({ kind }) => kind),
        "GeneratedKey"
      )
    })
  )
}

const indexes = (): void => {
  const missing = {
    ...key,
    kind: "MissingIndex",
    problem: "column digest has no index, so each purge would scan the table",
    fix: `CREATE INDEX CONCURRENTLY ON "s"."layers" ("digest");`
  } as const
  const instead = (...statements: ReadonlyArray<string>) => ["DROP INDEX $s.layers_digest_idx", ...statements]
  refuses("a reference without an index", { given: instead(), expected: [missing] })
  refuses("an index over some of the references", {
    given: instead("CREATE INDEX ON $s.layers (digest) WHERE id > 10"),
    expected: [missing]
  })
  refuses("an index whose second column it is", {
    given: instead("CREATE INDEX ON $s.layers (id, digest)"),
    expected: [missing]
  })
  refuses("an index of an expression", {
    given: instead("CREATE INDEX ON $s.layers (lower(digest))"),
    expected: [missing]
  })
  refuses("an index that finds no single row", {
    given: instead("CREATE INDEX ON $s.layers USING brin (digest)"),
    expected: [missing]
  })
  refuses("an index whose build failed", {
    given: [`UPDATE pg_index SET indisvalid = false WHERE indexrelid = '$s.layers_digest_idx'::regclass`],
    expected: [missing]
  })
  refuses("a partitioned table without an index", {
    given: [
      `CREATE TABLE $s.parts (n int, digest text COLLATE "C" REFERENCES $s.blobs) PARTITION BY LIST (n)`,
      "CREATE TABLE $s.part_one PARTITION OF $s.parts FOR VALUES IN (1)"
    ],
    expected: [{ table: "s.parts", kind: "MissingIndex", fix: `CREATE INDEX ON "s"."parts" ("digest");` }]
  })
  accepts("an index whose first column it is", instead("CREATE INDEX ON $s.layers (digest, id)"))
  accepts("a unique or a hash index", instead("CREATE INDEX ON $s.layers USING hash (digest)"))
}

const inheritance = (): void => {
  const inherited = (table: string) => ({
    table,
    kind: "InheritedReference" as const,
    problem:
      "it inherits from s.layers, and PostgreSQL does not enforce that table's foreign key (layers_digest_fkey, column digest) for its rows"
  })
  refuses("a table that inherits from a reference table, and one that inherits from that", {
    given: [
      "CREATE TABLE $s.more () INHERITS ($s.layers)",
      "CREATE TABLE $s.still_more () INHERITS ($s.more)"
    ],
    expected: [
      {
        ...inherited("s.more"),
        fix: `ALTER TABLE "s"."more" ADD FOREIGN KEY ("digest") REFERENCES "s"."blobs" ("digest") NOT VALID; CREATE INDEX CONCURRENTLY ON "s"."more" ("digest");`
      },
      inherited("s.still_more")
    ]
  })
  accepts("a table that inherits from a reference table and has the foreign key itself", [
    "CREATE TABLE $s.more (FOREIGN KEY (digest) REFERENCES $s.blobs) INHERITS ($s.layers)",
    "CREATE INDEX ON $s.more (digest)"
  ])
  accepts("partitions of a reference table", [
    `CREATE TABLE $s.parts (n int, digest text COLLATE "C" REFERENCES $s.blobs) PARTITION BY LIST (n)`,
    "CREATE INDEX ON $s.parts (digest)",
    "CREATE TABLE $s.part_one PARTITION OF $s.parts FOR VALUES IN (1) PARTITION BY LIST (n)",
    "CREATE TABLE $s.part_one_one PARTITION OF $s.part_one FOR VALUES IN (1)"
  ])

  it.effect("because a purge does not wait for an insert into it: the reference is left dangling", () =>
    Effect.gen(function* () {
      const b = yield* bench()
      yield* b.run(
        "CREATE TABLE $s.more () INHERITS ($s.layers)",
        "INSERT INTO $s.blobs VALUES ('d', 'key', 1, now())",
        "INSERT INTO $s.more (digest) VALUES ('d')",
        "DELETE FROM $s.blobs"
      )
      const dangling = yield* b.run(
        "SELECT FROM $s.layers l WHERE NOT EXISTS (SELECT FROM $s.blobs b WHERE b.digest = l.digest)"
      )
      assert.lengthOf(dangling, 1)
    })
  )
}

export const keys = (): void => {
  describe("foreign keys", () => {
    refuses("a catalogue without a foreign key to blobs", {
      given: ["DROP TABLE $s.layers"],
      expected: [
        {
          table: "s.blobs",
          kind: "NoReferences",
          problem: "no table has a foreign key to it, so every blob would be an orphan",
          fix: `For each column that refers to a blob: ALTER TABLE your_table ADD FOREIGN KEY (your_column) REFERENCES "s"."blobs" ("digest") NOT VALID; then an index on the column. If references are kept outside of this database, sweep with a reference source.`
        }
      ],
      fixable: false
    })
    destructive()
    unenforced()
    unsupported()
    inheritance()
    generatedKeys()
    indexes()
  })
}
