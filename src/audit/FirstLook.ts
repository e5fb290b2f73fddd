/**
 * The first look: sorts the keys of a window by the two sides. A difference is a suspicion, not a finding.
 */
import type { KnownKey } from "../database/Database.ts"
import type { StoredObject } from "../storage/Storage.ts"
import * as Counts from "./Counts.ts"
import type { Entry } from "./Merge.ts"
import type { AuditSettings } from "./Settings.ts"

/** A blob's row and its object, which agree. */
export interface Pair {
  /** Row of the blob. */
  readonly row: KnownKey
  /** Object of the blob. */
  readonly object: StoredObject
}

/** The keys of a window, sorted. */
export interface Sorted {
  /** Counts of the window. */
  readonly counts: Counts.Counts
  /** Blobs whose row and object agree. */
  readonly pairs: ReadonlyArray<Pair>
  /** Objects that nothing seems to own. */
  readonly unowned: ReadonlyArray<StoredObject>
  /** Rows of blobs whose object seems absent or has another size. */
  readonly doubtful: ReadonlyArray<KnownKey>
}

/** Sorts the keys of a window. */
export const sort = (entries: ReadonlyArray<Entry>, settings: AuditSettings): Sorted => {
  const counts = Counts.empty()
  const pairs: Array<Pair> = []
  const unowned: Array<StoredObject> = []
  const doubtful: Array<KnownKey> = []
  for (const { object, owners } of entries) {
    const [owner] = owners
    if (object !== null) {
      counts.listed += 1
      counts.listedBytes += object.sizeBytes
      const owned = owner !== undefined && owner.owner !== "journal"
      if (owned && object.key.startsWith(settings.blobPrefix)) counts.owned += 1
    }
    if (owner?.owner === "blob") {
      counts.rows += 1
      counts.rowBytes += owner.sizeBytes ?? 0
      if (object !== null && sizeFits(owner, object)) pairs.push({ row: owner, object })
      else doubtful.push(owner)
    } else if (object !== null) {
      if (owner !== undefined) countOwned(counts, object, owner.owner)
      else if (object.key.startsWith(settings.uploadPrefix)) {
        counts.staged += 1
        counts.stagedBytes += object.sizeBytes
      } else unowned.push(object)
    }
  }
  counts.sound = pairs.length
  return { counts, pairs, unowned, doubtful }
}

/** Returns whether the sizes agree. A row without a size agrees with every object. */
export const sizeFits = (row: KnownKey, object: StoredObject): boolean =>
  row.sizeBytes === null || row.sizeBytes === object.sizeBytes

/** Counts an object that an upload, an upload session or the journal owns. */
export const countOwned = (
  counts: Counts.Counts,
  { sizeBytes }: StoredObject,
  owner: "chunk" | "intent" | "journal"
): void => {
  if (owner === "intent") {
    counts.underWay += 1
    counts.underWayBytes += sizeBytes
  } else if (owner === "chunk") {
    counts.staged += 1
    counts.stagedBytes += sizeBytes
  } else {
    counts.awaitingDeletion += 1
    counts.awaitingDeletionBytes += sizeBytes
  }
}
