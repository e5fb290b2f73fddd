/**
 * The repair: journals ownerless objects, which the sweep deletes after their wait. It deletes nothing
 * itself, and does not change rows whose object is missing.
 *
 * It is a second pass over the same keys. Memory stays constant, and nothing is journaled before everything
 * was counted: with the catalogue of another store, all objects look ownerless.
 */
import { Clock, Duration, Effect } from "effect"
import { CollectorDatabase } from "../database/Database.ts"
import { RepairRefused } from "../domain/Refusals.ts"
import type { StoredObject } from "../storage/Storage.ts"
import * as Breaker from "../sweep/Breaker.ts"
import { requireNoLostTime } from "../sweep/LostTime.ts"
import { breaker, trips } from "../sweep/phases/Leftovers.ts"
import { requireBound } from "../sweep/preflight/BindingGuard.ts"
import * as Counts from "./Counts.ts"
import { sort } from "./FirstLook.ts"
import * as Merge from "./Merge.ts"
import { AuditProgress } from "./Progress.ts"
import type { AuditSettings, Resolved } from "./Settings.ts"

/** What a repair has journaled so far. */
export interface Repaired {
  /** Journaled objects. */
  objects: number
  /** Their size. */
  bytes: number
  /** When the last of them is due. */
  dueAtMillis: number
}

/** Fails with `BreakerOpen` while the sweep's breaker of leftovers is open: it counts the same objects. */
export const requireClosed = Breaker.requireClosed(breaker)

/** Applies the limits of the sweep's breaker to everything that the audit listed. */
const requirePlausible = (settings: AuditSettings, owned: number, ownerless: number, bytes: number) => {
  const listed = owned + ownerless
  return trips(settings, { listed, unowned: ownerless })
    ? Effect.fail(new RepairRefused({ ownerless, bytes, listed }))
    : Effect.void
}

/**
 * Journals the repairable objects that `counts`, of a complete audit of the same keys, contains. Stops
 * between windows.
 */
export const run = Effect.fnUntraced(function* (
  options: Resolved,
  counts: Counts.Counts,
  repaired: Repaired,
  isStopped: Effect.Effect<boolean>
) {
  const { settings } = options
  const { leftovers } = yield* CollectorDatabase
  const progress = yield* AuditProgress
  yield* requireClosed
  yield* requireBound(settings)
  yield* requireNoLostTime
  yield* requirePlausible(settings, counts.owned, counts.repairable, counts.repairableBytes)
  if (counts.repairable === 0) return true
  const wait = Math.max(1, Duration.toMillis(settings.quarantine), Duration.toMillis(settings.deleteDelay))
  const next = yield* Merge.make(options.prefix, options.after)
  const seen = Counts.empty()
  for (let window = yield* next; window !== null; window = yield* next) {
    if (yield* isStopped) return false
    // The listing is complete up to here: an owner of one of these keys shows in the snapshot that journals it.
    const now = yield* Clock.currentTimeMillis
    const cutoff = now - Duration.toMillis(settings.leftoverGrace)
    const { unowned, counts: listed } = sort(window.entries, settings)
    const old = unowned.filter(
      ({ key, modifiedAt }) => modifiedAt <= cutoff && key.startsWith(settings.blobPrefix)
    )
    // Rows may have been deleted since they were counted, for example by a restored backup.
    const [more, moreBytes] = [repaired.objects + old.length, repaired.bytes + sizeOf(old)]
    if (more > counts.repairable) {
      yield* requirePlausible(settings, counts.owned + counts.repairable - more, more, moreBytes)
    }
    if (old.length > 0) {
      const journaled = new Set(yield* leftovers.journal(now, old, now + wait))
      repaired.objects += journaled.size
      repaired.dueAtMillis = now + wait
      repaired.bytes += sizeOf(old.filter(({ key }) => journaled.has(key)))
    }
    Counts.add(seen, listed)
    yield* progress.report({
      phase: "repair",
      objects: seen.listed,
      rows: seen.rows,
      findings: repaired.objects,
      bytesRead: 0,
      expectedRows: counts.rows
    })
  }
  return true
})

const sizeOf = (objects: ReadonlyArray<StoredObject>): number =>
  objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
