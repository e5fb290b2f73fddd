/**
 * The repair: ownerless objects are journaled, and the sweep deletes them when their wait is over. Nothing is deleted
 * here, and no row that lacks its object is touched.
 *
 * It is a second pass over the same keys, so that memory stays constant and nothing at all is journaled before
 * everything was counted: a catalogue that belongs to another store makes all of it look ownerless.
 */
import { Clock, Duration, Effect } from "effect"
import { CollectorDatabase } from "../database/Database.ts"
import { RepairRefused } from "../domain/Refusals.ts"
import type { StoredObject } from "../storage/Storage.ts"
import * as Breaker from "../sweep/Breaker.ts"
import { breaker, trips } from "../sweep/phases/Leftovers.ts"
import * as Counts from "./Counts.ts"
import { sort } from "./FirstLook.ts"
import * as Merge from "./Merge.ts"
import { AuditProgress } from "./Progress.ts"
import type { AuditSettings, Resolved } from "./Settings.ts"

export interface Repaired {
  objects: number
  bytes: number
  dueAtMillis: number
}

/** Fails while the sweep's breaker of leftovers is open: it judges the same objects by the same rows. */
export const requireClosed = Breaker.requireClosed(breaker)

/** As the sweep judges, on the whole of what an audit listed. */
const requirePlausible = (settings: AuditSettings, owned: number, ownerless: number, bytes: number) => {
  const listed = owned + ownerless
  return trips(settings, { listed, unowned: ownerless })
    ? Effect.fail(new RepairRefused({ ownerless, bytes, listed }))
    : Effect.void
}

/** Journals what `counts`, of a complete audit of the same keys, found repairable; stops between windows. */
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
  yield* requirePlausible(settings, counts.owned, counts.repairable, counts.repairableBytes)
  if (counts.repairable === 0) return true
  const wait = Math.max(1, Duration.toMillis(settings.quarantine), Duration.toMillis(settings.deleteDelay))
  const next = yield* Merge.make(options.prefix, options.after)
  const seen = Counts.empty()
  for (let window = yield* next; window !== null; window = yield* next) {
    if (yield* isStopped) return false
    // The listing lies behind us now: whoever owned one of these keys shows in the snapshot that journals it.
    const now = yield* Clock.currentTimeMillis
    const cutoff = now - Duration.toMillis(settings.leftoverGrace)
    const { unowned, counts: listed } = sort(window.entries, settings)
    const old = unowned.filter(
      ({ key, modifiedAt }) => modifiedAt <= cutoff && key.startsWith(settings.blobPrefix)
    )
    // Rows may have gone since they were counted, restored from another day, say.
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
