/** Which columns the sniff asks about, and which it leaves alone. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { refusalOf, type Scene, scene, suspectsIn } from "../../fixtures/database/Sweeping.ts"

const hash = (n: string) => `encode(sha256((${n})::text::bytea), 'hex')`

/** Blobs 1 to 10 under hexadecimal digests; `artifacts` refers to 1 to 5 by a foreign key. */
export const seed: ReadonlyArray<string> = [
  `CREATE TABLE blobs (digest text PRIMARY KEY, object_key text NOT NULL UNIQUE, size_bytes bigint,
     created_at timestamptz NOT NULL, last_used_at timestamptz)`,
  "CREATE TABLE artifacts (id serial PRIMARY KEY, digest text NOT NULL REFERENCES blobs)",
  "CREATE INDEX ON artifacts (digest)",
  `INSERT INTO blobs SELECT ${hash("n")}, 'blobs/sha256/' || n, 1, timestamptz 'epoch' FROM generate_series(1, 10) n`,
  `INSERT INTO artifacts (digest) SELECT ${hash("n")} FROM generate_series(1, 5) n`
]

interface Case {
  readonly tables: ReadonlyArray<string>
  /** The columns asked about. */
  readonly suspects: ReadonlyArray<string>
}

const asksAbout = (what: string, { suspects, tables }: Case): void => {
  it.effect(`${suspects.length === 0 ? "leave alone" : "are refused:"} ${what}`, () =>
    Effect.gen(function* () {
      const { sweep } = yield* scene([...seed, ...tables])
      const report = yield* sweep()
      assert.deepStrictEqual(suspectsIn(report), suspects, refusalOf(report))
      assert.strictEqual(report.outcome, suspects.length === 0 ? "complete" : "refused")
    })
  )
}

export const cases = (): void => {
  for (const [what, one] of Object.entries(all)) asksAbout(what, one)

  it.effect("say by one line how to declare all, and by statements how to make each a reference", () =>
    Effect.gen(function* () {
      const s = yield* scene([...seed, ...two])
      const refused = refusalOf(yield* s.sweep())
      assert.include(refused, "public.docs: column digest looks like a reference to blobs")
      assert.include(refused, "CATALOG_NOT_REFERENCES=public.docs.digest,public.files.blob")
      yield* s.run(...fixesIn(refused))
      assert.strictEqual(refusalOf(yield* s.sweep()), "complete")
      assert.lengthOf(yield* s.run("SELECT FROM blobs"), 8)
    })
  )

  it.effect("lose what they name where it is not asked", () =>
    Effect.gen(function* () {
      const s = yield* scene([...seed, ...two])
      const notReferences = ["docs.digest", "public.files.blob"]
      assert.strictEqual(refusalOf(yield* s.sweep({ notReferences })), "complete")
      assert.lengthOf(yield* s.run("SELECT FROM docs WHERE digest NOT IN (SELECT digest FROM blobs)"), 2)
    })
  )

  it.effect("are refused in a dry run, too, which remembers nothing", () =>
    Effect.gen(function* () {
      const s = yield* scene([...seed, ...two])
      assert.lengthOf(suspectsIn(yield* s.sweep({ dryRun: true })), 2)
      assert.deepStrictEqual(yield* remembered(s), [{ sniffed: false, suspects: 0 }])
    })
  )

  it.effect("refuse a declaration that names no column", () =>
    Effect.gen(function* () {
      const s = yield* scene(seed)
      const refused = refusalOf(yield* s.sweep({ notReferences: ["docs.digset"] }))
      assert.include(refused, "CATALOG_NOT_REFERENCES names docs.digset, and there is no such column")
    })
  )

  it.effect("are judged by name where the role cannot read them, and a dry run says so", () =>
    Effect.gen(function* () {
      const s = yield* scene([...seed, `CREATE TABLE hidden (about text)`])
      yield* s.run(
        "CREATE ROLE sniffer LOGIN",
        "GRANT USAGE ON SCHEMA artifact_gc TO sniffer",
        "GRANT SELECT, UPDATE, DELETE ON blobs TO sniffer",
        "GRANT SELECT ON artifacts TO sniffer",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA artifact_gc TO sniffer",
        `INSERT INTO hidden SELECT ${hash("9")}`
      )
      const report = yield* s.sweep({ dryRun: true, role: "sniffer" })
      assert.deepStrictEqual(
        report.guards.map(({ decision, guard }) => [decision, guard]),
        [["allowed", "references"]]
      )
      assert.include(report.guards[0]?.message, "cannot read public.hidden")
      assert.deepStrictEqual(suspectsIn(yield* s.sweep({ dryRun: true })), ["public.hidden.about"])
      yield* s.run("DROP OWNED BY sniffer", "DROP ROLE sniffer")
    }).pipe(Effect.ensuring(Effect.void))
  )
}

/** The statements of a refusal, without the remark behind each. */
export const fixesIn = (refused: string): ReadonlyArray<string> =>
  [...refused.matchAll(/fix: (ALTER TABLE .*)/g)].flatMap(([, fix = ""]) =>
    (fix.split(" -- ")[0] ?? "").split(/(?<=;)\s*/).filter((statement) => statement !== "")
  )

const remembered = ({ run }: Scene) =>
  run(
    "SELECT sniffed_at IS NOT NULL AS sniffed, jsonb_array_length(suspects) AS suspects FROM artifact_gc.reference_checks"
  )

/** By name and by value. */
const two = [
  "CREATE TABLE docs (digest text)",
  `INSERT INTO docs SELECT ${hash("n")} FROM generate_series(5, 7) n`,
  "CREATE TABLE files (path text, blob varchar(64))",
  `INSERT INTO files SELECT 'p' || n, ${hash("n")} FROM generate_series(7, 8) n`
]

const all: Readonly<Record<string, Case>> = {
  "a column that bears the name of a reference, in an empty table of another schema": {
    tables: ["CREATE SCHEMA app", "CREATE TABLE app.uploads (digest varchar(80))"],
    suspects: ["app.uploads.digest"]
  },
  "a column named after the table of blobs": {
    tables: ["CREATE TABLE notes (source_blob_id text, blob_id int)"],
    suspects: ["public.notes.source_blob_id"]
  },
  "numbers that could be the blobs' own": {
    tables: [
      "ALTER TABLE blobs ADD COLUMN id bigserial UNIQUE",
      "CREATE TABLE notes (blob_id int, other_id int)"
    ],
    suspects: ["public.notes.blob_id"]
  },
  "values that name blobs, whatever the column's name": {
    tables: [
      "CREATE TABLE things (a text, b char(64), c text)",
      `INSERT INTO things SELECT ${hash("n")}, ${hash("n")}, 'x' || n FROM generate_series(9, 40) n`
    ],
    suspects: ["public.things.a", "public.things.b"]
  },
  "object keys": {
    tables: ["CREATE TABLE thumbnails (source text)", "INSERT INTO thumbnails VALUES ('blobs/sha256/7')"],
    suspects: ["public.thumbnails.source"]
  },
  "digests within JSON, arrays and text": {
    tables: [
      "CREATE TABLE posts (cooked text, meta jsonb, list text[], raw json, plain text)",
      `INSERT INTO posts SELECT '<img src="/x/' || d || '.png">', jsonb_build_object('a', jsonb_build_array(d)), ARRAY['x', d],
         json_build_object('d', d), 'nothing' FROM (SELECT ${hash("9")}) t (d)`
    ],
    suspects: ["public.posts.cooked", "public.posts.meta", "public.posts.list", "public.posts.raw"]
  },
  "a partitioned table, by its parent alone": {
    tables: [
      "CREATE TABLE parts (n int, ref text) PARTITION BY LIST (n)",
      "CREATE TABLE part_one PARTITION OF parts FOR VALUES IN (1)",
      `INSERT INTO parts SELECT 1, ${hash("9")}`
    ],
    suspects: ["public.parts.ref"]
  },
  "a few values among many rows of a large table": {
    tables: [
      "CREATE TABLE events (id bigserial, kind text, ref text, filler text)",
      `INSERT INTO events (kind, ref, filler) SELECT 'k', CASE WHEN n % 20 = 0 THEN ${hash("n % 10 + 1")} END, repeat('x', 300)
         FROM generate_series(1, 20000) n`
    ],
    suspects: ["public.events.ref"]
  },
  "a vague name whose table holds nothing": {
    tables: ["CREATE TABLE releases (checksum_sha256 text)"],
    suspects: ["public.releases.checksum_sha256"]
  },
  "a vague name whose values name no blob": {
    tables: [
      "CREATE TABLE releases (sha256 text)",
      `INSERT INTO releases SELECT ${hash("-n")} FROM generate_series(1, 50) n`
    ],
    suspects: []
  },
  "digests of secrets": {
    tables: ["CREATE TABLE users (password_digest text, remember_token_digest text)"],
    suspects: []
  },
  "columns of other types, and foreign keys to other tables": {
    tables: [
      "CREATE TABLE weekly (digest boolean, checksum int, sha256 timestamptz)",
      "CREATE TABLE manifests (digest text PRIMARY KEY REFERENCES blobs)",
      "CREATE TABLE tags (repository text, digest text REFERENCES manifests)"
    ],
    suspects: []
  },
  "views, temporary tables, another collector's tables and those of extensions": {
    tables: [
      "CREATE VIEW recent AS SELECT digest FROM artifacts",
      "CREATE SCHEMA other_gc",
      ...["orphans", "journal", "intents", "buried_keys"].map(
        (t) => `CREATE TABLE other_gc.${t} (digest text)`
      )
    ],
    suspects: []
  },
  "the table of blobs of another catalogue, whose blobs are others": {
    tables: [
      "CREATE SCHEMA other",
      "CREATE TABLE other.blobs (digest text PRIMARY KEY, object_key text NOT NULL UNIQUE, created_at timestamptz)",
      `INSERT INTO other.blobs SELECT ${hash("-n")}, 'others/' || n, now() FROM generate_series(1, 5) n`
    ],
    suspects: []
  },
  "a copy of the table of blobs": {
    tables: ["CREATE TABLE copies AS SELECT digest, object_key FROM blobs"],
    suspects: ["public.copies.digest", "public.copies.object_key"]
  },
  "other numbers and names, of three hundred tables": {
    tables: [
      `DO $$ BEGIN FOR n IN 1..300 LOOP
         EXECUTE format('CREATE TABLE unrelated_%s (id bigserial PRIMARY KEY, name text, email text, uuid uuid, owner_id bigint,
           payload jsonb, tags text[], hash text, created_at timestamptz DEFAULT now(), token text)', n);
         EXECUTE format('INSERT INTO unrelated_%s (name, email, uuid, owner_id, payload, tags, hash, token)
           SELECT ''n'' || i, i || ''@example.org'', gen_random_uuid(), i, ''{"a": [1, "b"]}'', ARRAY[''x''], md5(i::text), md5(i::text) || md5(i::text)
           FROM generate_series(1, 20) i', n);
       END LOOP; END $$`
    ],
    suspects: []
  }
}
