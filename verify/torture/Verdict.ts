/**
 * What is true when everything has come to rest: nothing referenced is lost, nothing unreferenced is left. Asked of
 * the real servers directly, by statements and listings of its own and not by the code under torture.
 */

import { createHash } from "node:crypto"
import { Duration, Effect, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import type { SweepReport } from "../../src/domain/SweepReport.ts"
import { registryPhases } from "../../src/oci/RegistryPhases.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { layers, type Place } from "./Place.ts"

export interface Verdict {
  readonly references: number
  readonly blobs: number
  readonly objects: number
  /** Referenced and not there, or not what it should be. */
  readonly lost: ReadonlyArray<string>
  /** There, and nothing refers to it. */
  readonly leaked: ReadonlyArray<string>
}

/** Sweeps that wait for nothing and hold nothing back. */
export const unhurried = {
  grace: Duration.zero,
  quarantine: Duration.zero,
  uploadGrace: Duration.zero,
  leftoverEvery: Duration.zero,
  leftoverGrace: Duration.zero,
  lease: Duration.zero,
  backoffBase: Duration.zero,
  backoffCap: Duration.zero,
  breakerPercent: 100,
  mixedSettings: "allow",
  attemptsMax: 1000
} as const

/** This many sweeps in a row that still find something to do mean that something is never done. */
const sweepsMax = 40

/** Sweeps until nothing is left to do; false when that does not come. */
export const settle = (place: Place): Promise<boolean> =>
  Effect.gen(function* () {
    const sweep = yield* Sweep
    for (let n = 0; n < sweepsMax; n++) {
      yield* elapse
      if (isDone(yield* sweep.once())) return true
      // What is due a millisecond after a sweep began is due in the next.
      yield* Effect.sleep("5 millis")
    }
    return false
  }).pipe(
    Effect.provide(Sweep.layer(unhurried, registryPhases).pipe(Layer.provideMerge(layers(place)))),
    Effect.runPromise
  )

/** All the time that anything waits for has passed: nothing may rest on a lease that is still running. */
const elapse = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`UPDATE artifact_gc.intents SET expires_at = 'epoch'`
  yield* sql`UPDATE artifact_gc.pins SET expires_at = 'epoch'`
  yield* sql`UPDATE artifact_gc.journal SET claimed_until = NULL, not_before = 'epoch'`
  yield* sql`UPDATE artifact_gc.listing_ranges SET claimed_until = NULL`
})

const isDone = ({ outcome, totals, left }: SweepReport): boolean =>
  outcome === "complete" &&
  totals.deleted === 0 &&
  left !== null &&
  left.waiting + left.condemned + left.journaled + left.intents + left.pins + left.deadLetters === 0

interface Row {
  readonly digest: string
  readonly object_key: string
  readonly size_bytes: number
  readonly referrers: number
}

export const judge = (place: Place): Promise<Verdict> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const storage = yield* Storage
    const rows = yield* sql<Row>`
      SELECT b.digest, b.object_key, b.size_bytes::float8 AS size_bytes,
        ((SELECT count(*) FROM artifacts a WHERE a.digest = b.digest)
          + (SELECT count(*) FROM local_files f WHERE f.digest = b.digest))::int AS referrers FROM blobs b`
    const dangling = yield* sql<{ name: string }>`
      SELECT repository || '/' || name AS name FROM artifacts a
      WHERE NOT EXISTS (SELECT FROM blobs b WHERE b.digest = a.digest)
      UNION ALL SELECT path FROM local_files f
      WHERE NOT EXISTS (SELECT FROM blobs b WHERE b.digest = f.digest)`
    const remembered = yield* sql<{ what: string }>`
      SELECT 'intent of ' || object_key AS what FROM artifact_gc.intents
      UNION ALL SELECT 'journal row of ' || object_key FROM artifact_gc.journal
      UNION ALL SELECT 'pin ' || id FROM artifact_gc.pins
      UNION ALL SELECT 'sighting of ' || digest FROM artifact_gc.orphans`
    const objects = (yield* Stream.runCollect(storage.list(""))).flat()
    const unfinished = (yield* Stream.runCollect(storage.multiparts(""))).flat()
    const damaged = yield* Effect.forEach(rows, (row) => read(storage, row), { concurrency: 8 })
    const owned = new Set(rows.map((row) => row.object_key))
    return {
      references: rows.reduce((sum, row) => sum + row.referrers, 0),
      blobs: rows.length,
      objects: objects.length,
      lost: [
        ...dangling.map(({ name }) => `${name} refers to no row`),
        ...damaged.filter((problem) => problem !== null)
      ],
      leaked: [
        ...objects.filter(({ key }) => !owned.has(key)).map(({ key }) => `object ${key}`),
        ...unfinished.map(({ key, uploadId }) => `upload ${uploadId} of ${key}`),
        ...rows.filter((row) => row.referrers === 0).map((row) => `row ${row.digest}`),
        ...remembered.map(({ what }) => what)
      ]
    }
  }).pipe(Effect.provide(layers(place)), Effect.runPromise)

/** What is wrong with a blob's bytes; null when they are what its digest says. */
const read = (storage: Storage["Service"], row: Row): Effect.Effect<string | null> => {
  const hash = createHash("sha256")
  let sizeBytes = 0
  return storage.get(ObjectKey.make(row.object_key)).pipe(
    Stream.runForEach((chunk) =>
      Effect.sync(() => {
        hash.update(chunk)
        sizeBytes += chunk.length
      })
    ),
    Effect.map(() =>
      `sha256:${hash.digest("hex")}` === row.digest && sizeBytes === row.size_bytes
        ? null
        : `${row.digest} at ${row.object_key} has other bytes`
    ),
    Effect.catch((error) => Effect.succeed(`${row.digest} at ${row.object_key}: ${error.message}`))
  )
}
