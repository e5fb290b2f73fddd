/** What a restore of the database means for the objects of the store. */
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"

/** What a restore means for the objects of the store. */
export interface Restored {
  /** Objects that only lost rows own. No collector deletes them before a person confirms. */
  readonly unknown: ReadonlySet<ObjectKey>
  /** Keys of rows that returned although their objects are deleted, or about to be. */
  readonly excused: ReadonlySet<ObjectKey>
}

/** Before a restore. */
export const nothing: Restored = { unknown: new Set(), excused: new Set() }
