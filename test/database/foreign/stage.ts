/**
 * A catalogue shared by writers that know nothing of the protocol, and a collector. The steps of such a writer are done
 * one by one: it looks for a row, puts bytes under a key that is the blob's own, inserts the row where there is none,
 * and inserts a reference.
 */

import { assert } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Stream } from "effect"
import type { SqlError } from "effect/sql"
import * as Postgres from "../../../src/database/Postgres.ts"
import { type CatalogNames, defaultNames } from "../../../src/domain/CatalogNames.ts"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import type { SweepSettings } from "../../../src/sweep/Settings.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import * as FaultyStorage from "../../../src/testing/FaultyStorage.ts"
import { ownArena, type Session } from "../../fixtures/Arena.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import * as Databases from "../../fixtures/Databases.ts"
import { artifact, digest, key } from "../../fixtures/samples.ts"

/** The one key under which foreign writers put blob `n`. */
export const foreignKey = (n: number): ObjectKey => key(`foreign-${n}`)

/** Both kinds of sweep below count as collectors of one catalogue. */
const patient: Partial<SweepSettings> = {
  backoffBase: Duration.millis(1),
  backoffCap: Duration.millis(2),
  mixedSettings: "allow"
}
const hasty: Partial<SweepSettings> = { ...patient, grace: Duration.zero, quarantine: Duration.zero }

const once = { maxConnections: 1 }

export const guard = (place: Databases.Place, names: CatalogNames = defaultNames) =>
  Effect.provide(Postgres.guardForeignWriters(names), Databases.client(place, once))
export const unguard = (place: Databases.Place, names: CatalogNames = defaultNames) =>
  Effect.provide(Postgres.unguardForeignWriters(names), Databases.client(place, once))

export const stage = Effect.fnUntraced(function* (server: Databases.Server, guarded: boolean) {
  const arena = yield* ownArena(server)
  if (guarded) {
    yield* Effect.orDie(guard(arena.place))
    yield* Effect.orDie(arena.database.inspect)
  }
  const session = yield* arena.session
  const objects = MemoryStorage.emptyState()
  const faults = FaultyStorage.script()
  const plain = Context.get(yield* Layer.build(MemoryStorage.layerOf(objects)), Storage)
  const storage = FaultyStorage.layer(faults).pipe(Layer.provide(Layer.succeed(Storage, plain)))
  const services = Layer.mergeAll(storage, AllDatabases.all(arena.database))
  const sweeper = (settings: Partial<SweepSettings>) =>
    Effect.map(Layer.build(Layer.provide(Sweep.layer(settings), services)), (context) =>
      Context.get(context, Sweep)
    )
  const puts = (at: ObjectKey) => Effect.orDie(plain.put(at, Stream.make(new Uint8Array(1)), 1))
  return {
    ...arena,
    session,
    another: arena.session,
    objects: objects.objects,
    faults,
    /** A sweep that grants an hour's grace: it verifies what is suspect, and deletes what is journaled. */
    sweeps: (yield* sweeper(patient)).once(),
    /** One that grants none: it condemns, purges and deletes at once. */
    purges: (yield* sweeper(hasty)).once(),
    looks: (n: number) =>
      Effect.map(session("SELECT FROM blobs WHERE digest = $1", [digest(n)]), (found) => found.length > 0),
    puts: (n: number) => puts(foreignKey(n)),
    /** A native writer, with or without a reference. */
    stores: Effect.fnUntraced(function* (n: number, nonce: string, reference?: string) {
      const at = key(`${n}-${nonce}`)
      const now = Date.now()
      yield* arena.database.blobs.intend([{ key: at, digest: digest(n), expiresAt: now + 60_000 }])
      yield* puts(at)
      const references = reference === undefined ? [] : [artifact(reference, n)]
      const publication = { key: at, digest: digest(n), sizeBytes: 1, references }
      return yield* arena.database.blobs.publish(now, [publication])
    }),
    /** Where the blob's row says its bytes are. */
    keyOf: (n: number) =>
      Effect.map(
        session("SELECT object_key FROM blobs WHERE digest = $1", [digest(n)]),
        (found) => found[0]?.object_key
      ),
    suspects: Effect.map(arena.tables.rows, ({ suspects }) => suspects),
    /** Names of references that nobody can follow to bytes. */
    lost: Effect.gen(function* () {
      const rows = yield* session(
        "SELECT a.name, b.object_key FROM artifacts a LEFT JOIN blobs b USING (digest) ORDER BY 1"
      )
      return rows
        .filter((row) => !objects.objects.has(row.object_key as ObjectKey))
        .map((row) => String(row.name))
    })
  }
})

export type Stage = Effect.Success<ReturnType<typeof stage>>

/** The row, where there is none. */
export const inserts = (session: Session, n: number) =>
  session(
    `INSERT INTO blobs (digest, object_key, size_bytes, created_at) VALUES ($1, $2, 1, now()) ON CONFLICT DO NOTHING`,
    [digest(n), foreignKey(n)]
  )

/** The reference. */
export const refers = (session: Session, name: string, n: number) =>
  session(
    `INSERT INTO artifacts (repository, name, digest, created_at) VALUES ('library/app', $1, $2, now())`,
    [name, digest(n)]
  )

/** Expects the server to tell the writer to start again, in these words. */
export const refused = <A>(words: string, steps: Effect.Effect<A, SqlError.SqlError>) =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(steps)
    assert.strictEqual(error.reason._tag, "SerializationError")
    assert.include(String(error.reason.cause), words)
  })

export const unverified = "cannot be referred to until its object has been verified"
export const missing = "there is no blob"

/** Changes an installed function of the guard, as if that line had been forgotten. */
export const mutate = Effect.fnUntraced(function* (session: Session, name: string, from: string, to: string) {
  const rows = yield* session(
    `SELECT pg_get_functiondef(p.oid) AS source FROM pg_proc p
     WHERE p.pronamespace = 'artifact_gc'::regnamespace AND starts_with(p.proname, $1)`,
    [name]
  )
  assert.isNotEmpty(rows)
  for (const row of rows) {
    const source = String(row.source)
    assert.include(source, from)
    yield* session(source.replaceAll(from, to))
  }
})

/** Stops every insert into a table, after the guard has looked at its row and before it is inserted, until `goOn`. */
export const pause = Effect.fnUntraced(function* (holder: Session, table: string) {
  yield* holder(`CREATE FUNCTION pause_${table}() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END'`)
  yield* holder(
    `CREATE TRIGGER zzz_pause BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION pause_${table}()`
  )
  yield* holder("SELECT pg_advisory_lock(4711)")
  return { goOn: holder("SELECT pg_advisory_unlock(4711)") }
})
