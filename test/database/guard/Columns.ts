/** The problems of the table of blobs. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { accepts, bench, refuses, sound } from "../../fixtures/database/CatalogueBench.ts"

const table = "s.blobs"
const retyped = (column: string, type: string, using = "NULL") =>
  `ALTER TABLE $s.blobs ALTER COLUMN ${column} TYPE ${type} USING ${using}`

const names = (): void => {
  for (const [what, statement] of [
    ["is not there", "DROP TABLE $s.layers, $s.blobs"],
    ["is a view", "ALTER TABLE $s.blobs RENAME TO b"]
  ] as const) {
    it.effect(`refuses a table that ${what}, and names the settings`, () =>
      Effect.gen(function* () {
        const b = yield* bench()
        yield* b.run(statement)
        if (what === "is a view") yield* b.run("CREATE VIEW $s.blobs AS SELECT * FROM $s.b")
        const [problem, ...others] = yield* b.problems
        assert.deepInclude(problem, { kind: "MissingTable", table: `${b.names.schema}.blobs` })
        assert.include(problem?.fix, "CATALOG_SCHEMA and CATALOG_BLOBS_TABLE")
        assert.lengthOf(others, 0)
      })
    )
  }

  const settings = {
    digest: ["digestColumn", "CATALOG_DIGEST_COLUMN"],
    object_key: ["keyColumn", "CATALOG_KEY_COLUMN"],
    size_bytes: ["sizeColumn", "CATALOG_SIZE_COLUMN"],
    created_at: ["createdAtColumn", "CATALOG_CREATED_AT_COLUMN"],
    last_used_at: ["lastUsedAtColumn", "CATALOG_LAST_USED_AT_COLUMN"]
  }
  for (const [column, [field, setting]] of Object.entries(settings)) {
    refuses(`a table without its column ${column}, and names the setting`, {
      given: [`ALTER TABLE $s.blobs RENAME ${column} TO other`],
      expected: [
        {
          table,
          kind: "MissingColumn",
          problem: `column ${column} does not exist`,
          fix: `Set ${setting} to the column's name${column === "last_used_at" ? ", or to none if there is no such column" : ""}.`
        }
      ],
      fixable: false
    })
    accepts(`another name for ${column}`, [], {
      names: { [String(field)]: "other" },
      catalogue: [...sound, `ALTER TABLE $s.blobs RENAME ${column} TO other`]
    })
  }
}

const types = (): void => {
  const wrong = (column: string, type: string, wanted: string) => ({
    given: [retyped(column, type, column === "created_at" ? "now()::date" : `''::${type}`)],
    expected: [
      {
        table,
        kind: "WrongType" as const,
        problem: `column ${column} is ${type}, not ${wanted}`
      }
    ],
    fixable: false
  })
  refuses("keys that are not text", wrong("object_key", "bytea", "text"))
  refuses("sizes that are not numbers", wrong("size_bytes", "text", "a whole number"))
  refuses("dates without a time", wrong("created_at", "date", "a timestamp"))
  refuses("keys that may be NULL", {
    given: ["ALTER TABLE $s.blobs ALTER COLUMN object_key DROP NOT NULL"],
    expected: [
      {
        table,
        kind: "WrongType",
        problem: "column object_key allows NULL",
        fix: `ALTER TABLE "s"."blobs" ALTER COLUMN "object_key" SET NOT NULL;`
      }
    ]
  })
  refuses("instants of creation that may be NULL", {
    given: ["ALTER TABLE $s.blobs ALTER COLUMN created_at DROP NOT NULL"],
    expected: [{ table, kind: "WrongType", problem: "column created_at allows NULL" }]
  })
  accepts("other types of the same kind", [
    retyped("object_key", "varchar(1024)", "object_key"),
    retyped("size_bytes", "numeric(20)", "size_bytes"),
    retyped("created_at", "timestamptz(3)", "created_at"),
    retyped("last_used_at", "timestamptz(0)", "last_used_at")
  ])
}

const uniqueMeans =
  ". The fix changes what the table means: it fails where rows share a value, and afterwards a program that inserts a second row with the same value gets an error"

const uniqueness = (): void => {
  const without = "ALTER TABLE $s.blobs DROP CONSTRAINT blobs_object_key_key"
  const notUnique = {
    table,
    kind: "KeyNotUnique",
    problem: `column object_key is not unique: two blobs could own one object, and purging one would delete the other's bytes${uniqueMeans}`,
    fix: `CREATE UNIQUE INDEX CONCURRENTLY ON "s"."blobs" ("object_key");`
  } as const
  refuses("two blobs with one key", { given: [without], expected: [notUnique] })
  refuses("keys that are unique with another column only", {
    given: [without, "CREATE UNIQUE INDEX ON $s.blobs (object_key, size_bytes)"],
    expected: [notUnique]
  })
  refuses("keys that are unique among some blobs only", {
    given: [without, "CREATE UNIQUE INDEX ON $s.blobs (object_key) WHERE size_bytes > 0"],
    expected: [notUnique]
  })
  refuses("keys that are unique at the end of a transaction only", {
    given: [without, "ALTER TABLE $s.blobs ADD UNIQUE (object_key) DEFERRABLE INITIALLY DEFERRED"],
    expected: [notUnique]
  })
  refuses("digests that are not unique", {
    given: [
      "ALTER TABLE $s.blobs ADD COLUMN id bigserial UNIQUE",
      "ALTER TABLE $s.layers DROP CONSTRAINT layers_digest_fkey, DROP COLUMN digest",
      "ALTER TABLE $s.blobs DROP CONSTRAINT blobs_pkey",
      "ALTER TABLE $s.layers ADD COLUMN blob bigint REFERENCES $s.blobs (id)",
      "CREATE INDEX ON $s.layers (blob)"
    ],
    expected: [
      {
        table,
        kind: "KeyNotUnique",
        problem: `column digest is not unique: a digest must name one blob${uniqueMeans}`
      }
    ]
  })
  refuses("a table of blobs that is partitioned by digest", {
    given: [
      "DROP TABLE $s.layers, $s.blobs",
      `CREATE TABLE $s.blobs (digest text COLLATE "C" PRIMARY KEY, object_key text COLLATE "C" NOT NULL,
         size_bytes bigint, created_at timestamptz NOT NULL, last_used_at timestamptz) PARTITION BY RANGE (digest)`,
      "CREATE TABLE $s.blobs_all PARTITION OF $s.blobs DEFAULT",
      `CREATE TABLE $s.layers (digest text COLLATE "C" REFERENCES $s.blobs)`,
      "CREATE INDEX ON $s.layers (digest)"
    ],
    expected: [{ table, kind: "KeyNotUnique", problem: notUnique.problem }],
    fixable: false
  })
  refuses("tables that inherit from it", {
    given: ["CREATE TABLE $s.more () INHERITS ($s.blobs)"],
    expected: [{ table, kind: "KeyNotUnique", fix: `ALTER TABLE s.more NO INHERIT "s"."blobs";` }]
  })
  it.effect("says that a key column of another type may be added", () =>
    Effect.gen(function* () {
      const b = yield* bench()
      yield* b.run(retyped("object_key", "char(64)", "object_key"))
      const [problem] = yield* b.problems
      assert.include(problem?.fix, "GENERATED ALWAYS AS")
    })
  )
  accepts("a unique index on the key that includes other columns", [
    without,
    "CREATE UNIQUE INDEX ON $s.blobs (object_key) INCLUDE (size_bytes)"
  ])
}

export const columns = (): void => {
  describe("the table of blobs", () => {
    names()
    types()
    uniqueness()
  })
}
