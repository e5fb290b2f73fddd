/**
 * The final state of the servers: no referenced blob is lost, and no garbage is left. It is read from the
 * real servers by statements and listings of this file, and not by the code under torture.
 */

import { createHash } from "node:crypto"
import { Duration, Effect, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import type { SweepReport } from "../../src/domain/SweepReport.ts"
import { registryPhases } from "../../src/oci/RegistryPhases.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import type { Servers } from "../bench/harness/Servers.ts"
import { layers } from "./Layers.ts"

/** Describes the rows and objects that are left. */
export interface FinalState {
  /** Number of references. */
  readonly references: number
  /** Number of blob rows. */
  readonly blobs: number
  /** Number of objects. */
  readonly objects: number
  /** Referenced blobs that are missing or have wrong bytes. */
  readonly lost: ReadonlyArray<string>
  /** Rows, objects and uploads that nothing refers to. */
  readonly leaked: ReadonlyArray<string>
}

/** Settings of sweeps without waits and without a limit on deletes. */
export const noWaits = {
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

/** If this many sweeps in a row still find work, some work is never done. */
const sweepsMax = 40

/** The services that look at the servers and sweep them without waits. */
export const services = (servers: Servers) =>
  Sweep.layerUnchecked({ ...noWaits, phases: registryPhases }).pipe(Layer.provideMerge(layers(servers)))

/** Sweeps until no work is left. Returns false if that does not happen. */
export const sweepUntilDone = Effect.gen(function* () {
  const sweep = yield* Sweep
  for (let n = 0; n < sweepsMax; n++) {
    yield* expireAll
    if (isDone(yield* sweep.once())) return true
    // Rows that are due a millisecond after a sweep began are due in the next one.
    yield* Effect.sleep("5 millis")
  }
  return false
})

/** Expires every intent, pin and lease, since no proof may rest on a lease that still runs. */
const expireAll = Effect.gen(function* () {
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

/** Reads the final state. */
export const read = Effect.gen(function* () {
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
  const damaged = yield* Effect.forEach(rows, (row) => damageOf(storage, row), { concurrency: 8 })
  const owned = new Set(rows.map((row) => row.object_key))
  const state: FinalState = {
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
  return state
})

/** Returns what is wrong with a blob's bytes, or null if they match its digest. */
const damageOf = (storage: Storage["Service"], row: Row): Effect.Effect<string | null> => {
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
        : `${row.digest} at ${row.object_key} has wrong bytes`
    ),
    Effect.catch((error) => Effect.succeed(`${row.digest} at ${row.object_key}: ${error.message}`))
  )
}
