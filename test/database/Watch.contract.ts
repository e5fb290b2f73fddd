/**
 * The triggers that note losses of references: what they notice, what they miss, and which writers wait for
 * them. The catalogue has a foreign key to another column than the digest, partitions and cascades.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, type Scope } from "effect"
import { unwatchReferences, watchReferences } from "../../src/database/Postgres.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import { type Arena, ownArena, type Session } from "../fixtures/Arena.ts"
import type { Database } from "../fixtures/Database.ts"
import * as Databases from "../fixtures/Databases.ts"
import { artifact, blobs, digest, digests, now, pin } from "../fixtures/samples.ts"

/** Layers of images in partitions, images that own them, and stickers that name a blob by its key. */
const referenceTables = [
  `CREATE TABLE images (id int PRIMARY KEY)`,
  `CREATE TABLE layers (image int REFERENCES images ON DELETE CASCADE, digest text COLLATE "C" REFERENCES blobs (digest),
     note text) PARTITION BY RANGE (image)`,
  `CREATE TABLE layers_low PARTITION OF layers FOR VALUES FROM (0) TO (10)`,
  `CREATE TABLE layers_high PARTITION OF layers FOR VALUES FROM (10) TO (20)`,
  `CREATE INDEX layers_digest ON layers (digest)`,
  `CREATE TABLE stickers (id int PRIMARY KEY, object_key text COLLATE "C" REFERENCES blobs (object_key))`,
  `CREATE INDEX stickers_key ON stickers (object_key)`,
  `INSERT INTO images VALUES (1), (2), (11)`,
  `INSERT INTO layers VALUES (1, '${digest(1)}'), (1, '${digest(2)}'), (2, '${digest(2)}'), (2, NULL), (11, '${digest(3)}')`,
  `INSERT INTO stickers SELECT 1, object_key FROM blobs WHERE digest = '${digest(4)}'`
]

interface Stage extends Arena {
  readonly by: Session
  readonly queue: Effect.Effect<ReadonlyArray<string>>
}

const stage = Effect.fnUntraced(function* (
  server: Databases.Server
): Effect.fn.Return<Stage, never, Scope.Scope> {
  const a = yield* ownArena(server)
  const by = yield* a.session
  yield* a.tables.write({ blobs: blobs(1, 2, 3, 4) })
  yield* Effect.orDie(Effect.forEach(referenceTables, (statement) => by(statement)))
  yield* a.tables.watch
  yield* Effect.orDie(a.database.inspect)
  return { ...a, by, queue: Effect.map(a.tables.rows, ({ candidates }) => candidates) }
})

const isOn = ({ candidates }: Database["Service"]) => Effect.map(candidates.watch, (watch) => watch.isOn)

/** Installs or removes the triggers on a connection of its own, as `migrate` does. */
const install = <A, E>(
  { place }: Arena,
  change: (names: typeof defaultNames) => Effect.Effect<A, E, Databases.Client>
) => Effect.provide(change(defaultNames), Databases.client(place, { lockTimeout: Duration.seconds(5) }))

export const watchContract = (server: Databases.Server): void => {
  describe(`Watched references on ${server.name}`, () => {
    const changes: ReadonlyArray<readonly [what: string, statement: string, noted: ReadonlyArray<number>]> = [
      ["a deleted row", "DELETE FROM layers WHERE image = 11", [3]],
      ["each row of a statement", "DELETE FROM layers WHERE image < 10", [1, 2, 2]],
      [
        "a row deleted from its partition by name",
        "DELETE FROM layers_low WHERE digest IS NOT NULL",
        [1, 2, 2]
      ],
      ["rows that a cascade deletes", "DELETE FROM images WHERE id = 1", [1, 2]],
      [
        "a row that is changed to another blob",
        `UPDATE layers SET digest = '${digest(3)}' WHERE image = 1`,
        [1, 2]
      ],
      ["a row that is changed to no blob", "UPDATE layers SET digest = NULL WHERE image = 11", [3]],
      ["a row whose foreign key is not the digest", "DELETE FROM stickers", [4]],
      ["nothing for rows that keep their blob", "UPDATE layers SET note = 'x'", []],
      ["nothing for rows that move to another partition", "UPDATE layers SET image = 11 WHERE image = 2", []],
      ["nothing for rows that are inserted", `INSERT INTO layers VALUES (2, '${digest(4)}')`, []],
      ["nothing for statements that change nothing", "DELETE FROM layers WHERE image = 5", []]
    ]
    for (const [what, statement, noted] of changes) {
      it.live(`note ${what}`, () =>
        Effect.gen(function* () {
          const { by, queue } = yield* stage(server)
          yield* by(statement)
          assert.deepStrictEqual(yield* queue, digests(...noted))
        }).pipe(Effect.scoped)
      )
    }

    it.live("note nothing that is rolled back", () =>
      Effect.gen(function* () {
        const { by, queue } = yield* stage(server)
        yield* by("BEGIN")
        yield* by("DELETE FROM layers")
        yield* by("ROLLBACK")
        assert.deepStrictEqual(yield* queue, [])
      }).pipe(Effect.scoped)
    )

    it.live("note changes by roles without rights to the queue", () =>
      Effect.gen(function* () {
        const { by, queue } = yield* stage(server)
        const role = `watched_${process.pid}_${Math.floor(performance.now())}`
        yield* by(`CREATE ROLE ${role}`)
        yield* by(`GRANT SELECT, DELETE ON layers TO ${role}`)
        yield* by(`SET ROLE ${role}`)
        yield* by("DELETE FROM layers WHERE image = 11")
        yield* by("RESET ROLE")
        yield* by(`REVOKE ALL ON layers FROM ${role}`)
        yield* by(`DROP ROLE ${role}`)
        assert.deepStrictEqual(yield* queue, digests(3))
      }).pipe(Effect.scoped)
    )

    it.live("make a full scan due when a table is truncated, also during a scan", () =>
      Effect.gen(function* () {
        const { by, database, queue } = yield* stage(server)
        const { passDone, passDue } = database.candidates
        const pass = Effect.flatMap(passDue(now, 1000), Effect.fromOption)
        yield* passDone(yield* pass)
        assert.isTrue(Option.isNone(yield* passDue(now, 1000)))
        yield* by("TRUNCATE layers")
        const wanted = yield* pass
        yield* by("TRUNCATE stickers")
        yield* passDone(wanted)
        yield* passDone(yield* pass)
        assert.isTrue(Option.isNone(yield* passDue(now, 1000)))
        assert.deepStrictEqual(yield* queue, [])
      }).pipe(Effect.scoped)
    )

    it.live("control: note nothing while triggers are off, which is why scans remain", () =>
      Effect.gen(function* () {
        const { by, queue } = yield* stage(server)
        yield* by("SET session_replication_role = replica")
        yield* by("DELETE FROM layers WHERE image = 11")
        assert.deepStrictEqual(yield* queue, [])
      }).pipe(Effect.scoped)
    )

    const holes: ReadonlyArray<readonly [what: string, statement: string, table: string]> = [
      [
        "a new table that refers to blobs",
        `CREATE TABLE more (digest text COLLATE "C" PRIMARY KEY REFERENCES blobs (digest))`,
        "public.more"
      ],
      [
        "a new partition",
        "CREATE TABLE layers_more PARTITION OF layers FOR VALUES FROM (20) TO (30)",
        "public.layers_more"
      ],
      ["a disabled trigger", "ALTER TABLE stickers DISABLE TRIGGER USER", "public.stickers"]
    ]
    for (const [what, statement, table] of holes) {
      it.live(`are not on with ${what}, and on again after the next installation`, () =>
        Effect.gen(function* () {
          const s = yield* stage(server)
          assert.isTrue(yield* isOn(s.database))
          yield* s.by(statement)
          yield* s.database.inspect
          assert.deepStrictEqual(yield* s.database.candidates.watch, { isOn: false, unwatched: [table] })
          const { passDone, passDue } = s.database.candidates
          const first = yield* Effect.flatMap(passDue(now, 1000), Effect.fromOption)
          yield* passDone(first)
          assert.isTrue(Option.isNone(yield* passDue(now, 1000)))
          const { created } = yield* install(s, watchReferences)
          assert.deepStrictEqual(created, [table])
          yield* s.database.inspect
          assert.isTrue(yield* isOn(s.database))
          assert.isTrue(Option.isSome(yield* passDue(now, 1000)), "earlier losses are in no queue")
        }).pipe(Effect.scoped)
      )
    }

    it.live("are installed once, and removed with the queue", () =>
      Effect.gen(function* () {
        const s = yield* stage(server)
        assert.deepStrictEqual(yield* install(s, watchReferences), { created: [], dropped: [] })
        yield* s.by("DELETE FROM layers")
        const { dropped } = yield* install(s, unwatchReferences)
        assert.includeMembers(
          [...dropped],
          ["public.blobs", "public.layers", "public.stickers", "artifact_gc.pins"]
        )
        assert.deepStrictEqual(yield* s.queue, [])
        yield* s.database.inspect
        assert.deepStrictEqual(yield* s.database.candidates.watch, { isOn: false, unwatched: [] })
        yield* s.by("DELETE FROM stickers")
        assert.deepStrictEqual(yield* s.queue, [])
        assert.deepStrictEqual(yield* install(s, unwatchReferences), { created: [], dropped: [] })
      }).pipe(Effect.scoped)
    )

    it.live(
      "give way to a writer that has locked a table, and change nothing",
      () =>
        Effect.gen(function* () {
          const s = yield* stage(server)
          yield* install(s, unwatchReferences)
          yield* s.by("BEGIN")
          yield* s.by("DELETE FROM stickers")
          const error = yield* Effect.flip(install(s, watchReferences))
          assert.deepInclude(error, { reason: "Contended" })
          yield* s.by("COMMIT")
          yield* s.database.inspect
          assert.deepStrictEqual(yield* s.database.candidates.watch, { isOn: false, unwatched: [] })
        }).pipe(Effect.scoped),
      60_000
    )

    it.live("note pins and blobs of native writers beside the tables of others", () =>
      Effect.gen(function* () {
        const { database, tables, queue } = yield* stage(server)
        yield* database.blobs.adopt(now, [artifact("a", 1)], { pins: [pin("p", 2)] })
        assert.deepStrictEqual(yield* queue, [])
        yield* database.blobs.unreference([artifact("a", 1)])
        yield* database.blobs.unpin(["p"])
        yield* tables.write({ blobs: blobs(9) })
        assert.deepStrictEqual(yield* queue, digests(1, 2, 9))
        // 1 and 2 have layers.
        assert.deepStrictEqual(yield* database.candidates.review(now, 10), { candidates: 3, orphans: 1 })
      }).pipe(Effect.scoped)
    )
  })
}
