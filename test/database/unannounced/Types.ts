/** The triggers against unannounced writers on catalogues of other shapes: the same steps on each. */

import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { type CatalogNames, defaultNames } from "../../../src/domain/CatalogNames.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import * as RegistryPostgres from "../../../src/oci/database/Postgres.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import { Database } from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { installs, missing, refused, unverified } from "../../fixtures/database/WriterStage.ts"

interface Catalogue {
  readonly names?: Partial<CatalogNames>
  readonly tables: ReadonlyArray<string>
  /** The digest of the blob, as an expression. */
  readonly digest: string
  /** Of the row that refers to it. Default: its digest. */
  readonly referred?: string
  /** A setting of the unannounced writer's session. */
  readonly set?: string
}

const blobsBy = (digest: string, collate = "") => [
  `CREATE TABLE blobs (digest ${digest}${collate} PRIMARY KEY, object_key text NOT NULL UNIQUE, size_bytes bigint,
     created_at timestamptz NOT NULL, last_used_at timestamptz)`,
  `CREATE TABLE layers (id serial PRIMARY KEY, digest ${digest}${collate} REFERENCES blobs)`,
  "CREATE INDEX ON layers (digest)"
]

const collect = Effect.fnUntraced(function* ({ orphans, inspect }: Database["Service"]) {
  yield* inspect
  const slice = yield* orphans.readSlice(null, 10)
  const seen = (yield* orphans.find(slice)).map((orphan) => orphan.digest)
  yield* orphans.record(slice, { now: 1, seen, condemned: seen, sweep: "s" })
  const waits = { condemnedCutoff: 2, seenCutoff: 2, usedCutoff: 4_000_000_000_000, deleteNotBefore: 1 }
  return (yield* orphans.purge({ now: 2, ...waits, limit: 10, after: null, leaseUntil: null })).purged
})

const story = (server: Databases.Server, what: string, given: Catalogue): void => {
  it.live(`works with ${what}`, () =>
    Effect.gen(function* () {
      const names = { ...defaultNames, ...given.names }
      const place = yield* Databases.emptyDatabase(server)
      const connect = Layer.build(Databases.client(place, { maxConnections: 1 }))
      const writer = Context.get(yield* connect, SqlClient.SqlClient)
      for (const statement of given.tables) yield* writer.unsafe(statement)
      const client = yield* Layer.build(Databases.client(place))
      yield* RegistryPostgres.migrate(names, {}).pipe(Effect.provideContext(client))
      yield* installs(place, names)
      const layer = Layer.provide(AllDatabases.onClient(names), Layer.succeedContext(client))
      const database = Context.get(yield* Layer.build(layer), Database)
      if (given.set !== undefined) yield* writer.unsafe(given.set)
      const inserts = writer.unsafe(
        `INSERT INTO blobs (digest, object_key, size_bytes, created_at) SELECT ${given.digest}, 'the key', 1, 'epoch'
         ON CONFLICT DO NOTHING`
      )
      const refers = writer.unsafe(`INSERT INTO layers (digest) SELECT ${given.referred ?? given.digest}`)

      yield* refused(missing, refers)
      yield* inserts
      // While it is being inserted, the purge skips it: the lock does not depend on either session's
      // settings.
      yield* writer.unsafe("BEGIN")
      yield* inserts
      assert.lengthOf(yield* collect(database), 0)
      yield* writer.unsafe("COMMIT")
      assert.lengthOf(yield* collect(database), 1)

      yield* inserts
      yield* refused(unverified, refers)
      const [suspect, ...others] = yield* database.suspects.page(null, 10)
      assert.lengthOf(others, 0)
      if (suspect === undefined) return assert.fail("no blob is suspect")
      assert.lengthOf(yield* database.suspects.page(suspect.digest, 10), 0)
      const to = ObjectKey.make(`fresh/${randomUUID()}`)
      yield* database.blobs.intend([{ key: to, digest: suspect.digest, expiresAt: 3 }])
      assert.strictEqual(yield* database.suspects.rekey(3, suspect, to, 4), "adopted")
      assert.strictEqual(yield* database.suspects.forget(10), 1)
      yield* refers
      assert.lengthOf(yield* collect(database), 0)

      // Without a reference it is purged, inserted again, and dropped as soon as its object is found missing.
      yield* writer.unsafe("DELETE FROM layers")
      assert.lengthOf(yield* collect(database), 1)
      yield* inserts
      assert.strictEqual(yield* database.suspects.drop(3, suspect), "dropped")
      assert.lengthOf(yield* writer.unsafe("SELECT FROM blobs"), 0)
    })
  )
}

export const types = (server: Databases.Server): void => {
  describe("the triggers against unannounced writers on other catalogues", () => {
    story(server, "digests that are bytes", {
      tables: blobsBy("bytea"),
      digest: "sha256('blob')",
      set: "SET bytea_output = 'escape'"
    })
    story(server, "digests that are UUIDs", { tables: blobsBy("uuid"), digest: "md5('blob')::uuid" })
    story(server, "digests of limited length", {
      tables: blobsBy("varchar(80)"),
      digest: "'sha256:' || encode(sha256('blob'), 'hex')"
    })
    story(server, "digests of fixed length", { tables: blobsBy("char(40)"), digest: "'abc'" })
    story(server, "digests that are numbers", { tables: blobsBy("numeric"), digest: "1.50" })
    story(server, "digests whose case does not matter", {
      tables: [
        "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        ...blobsBy("text", " COLLATE nocase")
      ],
      digest: "CASE random() < 0.5 WHEN true THEN 'ABC' ELSE 'abc' END"
    })
    story(server, "digests of a type of their own", {
      tables: [
        "CREATE SCHEMA types",
        "CREATE DOMAIN types.digest AS text COLLATE \"C\" CHECK (VALUE ~ '^sha')",
        ...blobsBy("types.digest")
      ],
      digest: "'sha256:abc'"
    })
    story(server, "references by number, not by digest", {
      names: { timeZone: "UTC" },
      tables: [
        `CREATE TABLE blobs (id serial PRIMARY KEY, digest text UNIQUE NOT NULL, object_key text NOT NULL UNIQUE,
           size_bytes int, created_at timestamp NOT NULL, last_used_at timestamp)`,
        "CREATE TABLE layers (digest bigint REFERENCES blobs (id))",
        "CREATE INDEX ON layers (digest)"
      ],
      digest: "'abc'",
      referred: "coalesce((SELECT id FROM blobs), 0)"
    })
    story(server, "blobs that other blobs are based on", {
      tables: [
        ...blobsBy("text"),
        "ALTER TABLE blobs ADD COLUMN base text REFERENCES blobs",
        "CREATE INDEX ON blobs (base)"
      ],
      digest: "'abc'"
    })
    const own = "C \"o\" 'x'"
    story(server, "names with capitals, spaces and quotes", {
      names: { collectorSchema: own },
      tables: blobsBy("text"),
      digest: "'abc'"
    })
  })
}
