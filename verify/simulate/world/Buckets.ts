/** What the bucket of a world does with deleted objects, and what may be left in it. */
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import type { State as StoreState } from "../../../src/storage/Memory.ts"
import type { StoreTraits } from "../../../src/storage/Storage.ts"
import type { Rng } from "../../../src/testing/simulation/Simulation.ts"

/**
 * - `plain`: deleted objects are gone
 * - `versions`: old versions are kept, and a delete removes all of them
 * - `markers`: old versions are kept behind delete markers, as the operator chose
 * - `unchosen`: old versions are kept, and no operator chose what a delete does
 */
export type Bucket = "plain" | "versions" | "markers" | "unchosen"

/** Draws the bucket of a world. */
export const draw = (rng: Rng): Bucket => {
  const n = rng.below(20)
  return n < 12 ? "plain" : n < 17 ? "versions" : n < 19 ? "markers" : "unchosen"
}

/** Returns what the store answers of itself. */
export const traitsOf = (bucket: Bucket, objectLock: boolean): StoreTraits => ({
  versioning: bucket === "plain" ? "off" : "on",
  objectLock: objectLock && bucket === "versions",
  deletes: bucket === "plain" ? "objects" : bucket === "versions" ? "versions" : "markers",
  chosen: bucket !== "unchosen"
})

/** Returns a key with old versions that no blob needs and that a delete should have removed, or null. */
export const forgottenVersions = (
  bucket: Bucket,
  { hidden }: StoreState,
  owned: ReadonlySet<ObjectKey>
): ObjectKey | null => {
  if (bucket !== "versions") return null
  for (const [key, versions] of hidden) if (versions.length > 0 && !owned.has(key)) return key
  return null
}
