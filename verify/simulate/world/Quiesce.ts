/** The end of a run: a collector sweeps for days, then no garbage may be left and every blob must read back. */
import { Clock, Effect, Exit, Stream } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { CollectorDatabase } from "../../../src/database/Database.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { type Closing, showExit } from "../../../src/testing/simulation/Simulation.ts"
import { forgottenVersions } from "./Buckets.ts"
import { bytesOf } from "./Contents.ts"
import { isNeeded } from "./RegistryOracle.ts"
import type { Services, World } from "./World.ts"

/**
 * After this many sweeps, one a day, no garbage may be left. The first sees an orphan, the second condemns
 * it, the third purges and deletes it. A key that was found or postponed during these takes two more. An index that
 * nothing needs is deleted before its manifests, and these before their blobs.
 */
const sweepsMax = 10

/** Returns how the runs of a world end. */
export const closingOf = (world: World): Closing<Services> => ({
  prepare: () => {
    const { elsewhere, store } = world
    // An operator decides about old versions, and the locks of objects end.
    if (!store.traits.chosen) store.traits = { ...store.traits, deletes: "versions", chosen: true }
    store.locked.clear()
    elsewhere.repair()
  },
  day: sweep,
  daysMax: sweepsMax,
  left: () => leaked(world),
  last: unreadable(world)
})

/** Confirms breakers and retries dead letters, as an operator does after reading reports; then sweeps. */
const sweep = Effect.gen(function* () {
  const { breakers, journal } = yield* CollectorDatabase
  const now = yield* Clock.currentTimeMillis
  yield* breakers.confirm(now)
  yield* journal.retry(now, "all")
  const { outcome } = yield* (yield* Sweep).once()
  return outcome
})

/** Returns the first piece of garbage that is left, or null. */
const leaked = ({ elsewhere, parameters, rows, store }: World): string | null => {
  const owned = new Set([...rows.blobs.values()].map(({ key }) => key))
  const referenced = new Set([...referencedDigests(rows), ...elsewhere.held.values()])
  for (const key of store.objects.keys())
    if (!owned.has(key)) return `leaked: object ${key} has no owner and is still stored`
  for (const digest of rows.blobs.keys())
    if (!referenced.has(digest)) return `leaked: blob ${digest} has no reference and still has a row`
  for (const key of rows.journal.keys()) return `leaked: the journal still holds ${key}`
  for (const key of rows.intents.keys()) return `leaked: the intent of ${key} is still there`
  for (const id of rows.sessions.keys()) return `leaked: upload session ${id} is still there`
  for (const id of rows.pins.keys()) return `leaked: pin ${id} is still there`
  for (const row of rows.manifests.values())
    if (!isNeeded(rows, row)) return `leaked: manifest ${row.digest} of ${row.repository} is still there`
  const forgotten = forgottenVersions(parameters.bucket, store, owned)
  if (forgotten !== null) return `leaked: old versions of ${forgotten} are still stored`
  for (const id of store.multiparts.keys()) return `leaked: upload in parts ${id} is still there`
  return null
}

/** Returns the digests that a reference or a manifest needs. */
const referencedDigests = ({ manifests, references }: World["rows"]) => [
  ...[...references.values()].flatMap(({ digest }) => digest ?? []),
  ...[...manifests.values()].flatMap((row) => [row.digest, ...row.references.map(({ digest }) => digest)])
]

/** Returns the first referenced blob that does not read back byte for byte, or null. */
const unreadable = Effect.fnUntraced(function* ({ count, elsewhere, rows }: World) {
  const blobs = yield* BlobStore
  for (const digest of [...referencedDigests(rows), ...elsewhere.acknowledged()]) {
    const exit = yield* Effect.exit(Stream.runCollect(blobs.open(digest)))
    if (Exit.isFailure(exit)) return `lost: blob ${digest} cannot be read: ${showExit(exit)}`
    const expected = bytesOf(digest)
    if (expected === undefined || !Buffer.concat(exit.value).equals(expected))
      return `lost: blob ${digest} reads back with other bytes`
    count("references read back at the end")
  }
  return null
})
