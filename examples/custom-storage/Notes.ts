/** Notes in PostgreSQL, with their texts as blobs in the same database, and a collector for texts of deleted notes. */

import { BlobStore, CatalogNames, Postgres, Storage, Sweep } from "artifact-gc"
import { Console, Duration, Effect, Layer, Schedule, Stream } from "effect"
import { SqlClient } from "effect/sql"
import * as TableStorage from "./TableStorage.ts"

/** A guard finds the store's keys in these columns and takes them for references that lack a foreign key. */
const names = { ...CatalogNames.defaultNames, notReferences: TableStorage.keyColumns }

const addNote = Effect.fnUntraced(function* (id: number, text: string) {
  const blobs = yield* BlobStore.BlobStore
  const sql = yield* SqlClient.SqlClient
  yield* blobs.put(Stream.make(new TextEncoder().encode(text)), {
    commit: ({ digest }) => sql`INSERT INTO notes VALUES (${id}, ${digest})`
  })
})

const objects = Effect.flatMap(Storage.Storage, (storage) =>
  Effect.map(Stream.runCollect(storage.list("")), (pages) => pages.flat().length)
)

const app = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* Postgres.migrate(names, { createCatalog: "blobs" })
  yield* sql`CREATE TABLE notes (id int PRIMARY KEY, text text COLLATE "C" NOT NULL REFERENCES blobs (digest))`
  yield* sql`CREATE INDEX ON notes (text)`
  yield* TableStorage.createTables

  yield* addNote(1, "kept")
  yield* addNote(2, "deleted")
  yield* Console.log(`two notes, ${yield* objects} objects`)
  yield* sql`DELETE FROM notes WHERE id = 2`

  const { once } = yield* Sweep.Sweep
  const sweeping = Effect.repeat(once(), {
    schedule: Schedule.spaced("500 millis"),
    until: ({ outcome, totals }) => outcome === "refused" || totals.deleted > 0
  })
  const { guards, outcome, totals } = yield* sweeping
  for (const { message } of guards) yield* Console.log(message)
  yield* Console.log(`sweep ${outcome}: deleted ${totals.deleted}; one note, ${yield* objects} object`)
  return { deleted: totals.deleted, objects: yield* objects }
})

/** Waits of a second, so that the demonstration ends soon. An app keeps the defaults. */
const waits = { grace: Duration.seconds(1), quarantine: Duration.seconds(1) }

const services = Layer.merge(Sweep.Sweep.layer(waits), BlobStore.BlobStore.layer()).pipe(
  Layer.provideMerge(Layer.merge(Postgres.layer(names), TableStorage.layer))
)

/** Runs the app on an empty database and returns what it counted. */
export const run = Effect.provide(app, services)
