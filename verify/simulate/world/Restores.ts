/**
 * A restore of the database from a backup, while the store stays as it is. The database then does not know what
 * was written since, and rows return whose objects are deleted.
 */
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { RegistryState } from "../../../src/oci/database/Memory.ts"
import type { State as StoreState } from "../../../src/storage/Memory.ts"
import { isOfDatabase } from "./Crashes.ts"
import type { Processes } from "./Processes.ts"
import type { Restored } from "./Restored.ts"
import * as Snapshots from "./Snapshots.ts"
import type { World } from "./World.ts"

/** Takes back the database, and stops all processes meanwhile, as an operator does. */
export const restore = (world: World, processes: Processes, backup: Snapshots.Snapshot): void => {
  const { count, network, oracle, rows, store } = world
  count("databases restored")
  processes.note(null, () => "the database is restored from a backup")
  const before = Snapshots.take(rows)
  const roles = processes.running.map(({ role }) => role)
  for (const process of [...processes.running]) processes.kill(process)
  const late = network.late.splice(0)
  for (const request of late)
    if (request.verb === "host.rollback") request.execute()
    else if (!isOfDatabase(request.verb)) network.late.push(request)
  Snapshots.restore(rows, backup)
  rows.here = { ...rows.here, timeline: `restored ${processes.step}` }
  oracle.restored(differenceOf(before, rows, store))
  for (const role of roles) if (role !== "janitor") processes.start(role)
}

const ownedKeys = ({ tables }: Snapshots.Snapshot): ReadonlySet<ObjectKey> =>
  new Set([
    ...[...(tables.get("blobs")?.values() ?? [])].map((row) => (row as { readonly key: ObjectKey }).key),
    ...([...(tables.get("chunks")?.keys() ?? [])] as ReadonlyArray<ObjectKey>)
  ])

const differenceOf = (before: Snapshots.Snapshot, rows: RegistryState, { objects }: StoreState): Restored => {
  const owned = ownedKeys(before)
  const own = [...[...rows.blobs.values()].map(({ key }) => key), ...rows.chunks.keys()]
  const known = new Set([...own, ...rows.journal.keys()])
  return {
    unknown: new Set([...owned].filter((key) => objects.has(key) && !known.has(key))),
    excused: new Set(own.filter((key) => !owned.has(key) || !objects.has(key)))
  }
}
