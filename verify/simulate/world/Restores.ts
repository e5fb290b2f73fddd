/**
 * A restore of the database from a backup, while the store stays as it is. The database then does not know what
 * was written since. The operator stops all processes meanwhile, and brings back the objects that the returned
 * rows need.
 */
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { State as StoreState } from "../../../src/storage/Memory.ts"
import * as Snapshots from "./Snapshots.ts"
import type { World } from "./World.ts"

/** A backup of the database, and the objects that the store had then. */
export interface Backup {
  readonly rows: Snapshots.Snapshot
  readonly objects: StoreState["objects"]
}

/** Backs the database up. */
export const backUp = ({ rows, store }: World): Backup => ({
  rows: Snapshots.take(rows),
  objects: new Map(store.objects)
})

/** Restores the database. */
export const restore = (world: World, { objects, rows: backup }: Backup): void => {
  const { count, durability, elsewhere, network, oracle, rows, simulator, store } = world
  const { delivery, processes } = simulator
  count("databases restored")
  const roles = processes.running.map(({ role }) => role)
  for (const process of [...processes.running]) processes.kill(process)
  while (network.late.length > 0) delivery.executeLate()
  simulator.note(null, () => "the database is restored from a backup")
  const before = ownedKeys(world)
  Snapshots.restore(rows, backup)
  // Otherwise a crash would bring back the database from before the restore.
  durability.settle()
  rows.here = { ...rows.here, timeline: `restored ${simulator.step}` }
  const returned = ownedKeys(world)
  for (const key of returned) {
    const entry = objects.get(key)
    if (entry !== undefined && !store.objects.has(key)) store.objects.set(key, entry)
  }
  const isUnknown = (key: ObjectKey) => store.objects.has(key) && !returned.has(key) && !rows.journal.has(key)
  oracle.restored(new Set([...before].filter(isUnknown)))
  elsewhere.forget()
  for (const role of roles) processes.start(role)
}

const ownedKeys = ({ rows }: World): ReadonlySet<ObjectKey> =>
  new Set([...[...rows.blobs.values()].map(({ key }) => key), ...rows.chunks.keys()])
