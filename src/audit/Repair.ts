/**
 * The repair: ownerless objects are journaled, and the sweep deletes them when their wait is over. Nothing is deleted
 * here, and no row that lacks its object is touched.
 *
 * It is a second pass over the same keys, so that memory stays constant and nothing at all is journaled before
 * everything was counted: a catalogue that belongs to another store makes all of it look ownerless.
 */
import { Clock, Duration, Effect } from "effect"
import { type BreakerState, Database, type Exposure, isOpen } from "../database/Database.ts"
import { BreakerOpen } from "../domain/Refusals.ts"
import * as Counts from "./Counts.ts"
import { sort } from "./FirstLook.ts"
import * as Merge from "./Merge.ts"
import { AuditProgress } from "./Progress.ts"
import type { AuditSettings, Resolved } from "./Settings.ts"

/** A confirmation is for what was found then; a mistake of next month needs one of its own. */
const confirmationMillis = Duration.toMillis(Duration.hours(24))

export interface Repaired {
  objects: number
  bytes: number
  dueAtMillis: number
}

/** Fails while a person has not confirmed what tripped the breaker of leftovers. */
export const requireClosed = Effect.gen(function* () {
  const state = yield* (yield* Database).breakers.read("leftovers")
  if (isOpen(state)) return yield* refusal(state)
  return state
})

const refusal = ({ trippedAt, exposure }: BreakerState): BreakerOpen =>
  new BreakerOpen({
    breaker: "leftovers",
    trippedAt: new Date(trippedAt ?? 0).toISOString(),
    blobs: exposure?.blobs ?? 0,
    bytes: exposure?.bytes ?? 0,
    totalBlobs: exposure?.totalBlobs ?? 0,
    totalBytes: exposure?.totalBytes ?? 0
  })

/** How many objects may go: what is too few to be a mistake, a share of what was listed, or what was confirmed. */
const allowance = (
  counts: Counts.Counts,
  settings: AuditSettings,
  breaker: BreakerState,
  now: number
): number =>
  Math.max(
    settings.breakerBlobs,
    Math.floor((counts.blobsListed * settings.breakerPercent) / 100),
    breaker.confirmedAt !== null && breaker.confirmedAt > now - confirmationMillis
      ? (breaker.exposure?.blobs ?? 0)
      : 0
  )

/** Opens the breaker, for the sweep's leftovers too: they judge the same objects by the same rows. */
const trip = Effect.fnUntraced(function* (exposure: Exposure) {
  const { breakers } = yield* Database
  yield* breakers.trip("leftovers", yield* Clock.currentTimeMillis, exposure)
  return yield* refusal(yield* breakers.read("leftovers"))
})

/** Journals what `counts`, of a complete audit of the same keys, found repairable; stops between windows. */
export const run = Effect.fnUntraced(function* (
  options: Resolved,
  counts: Counts.Counts,
  repaired: Repaired,
  isStopped: Effect.Effect<boolean>
) {
  const { settings } = options
  const { leftovers } = yield* Database
  const progress = yield* AuditProgress
  const allowed = allowance(counts, settings, yield* requireClosed, yield* Clock.currentTimeMillis)
  const exposure: Exposure = {
    blobs: counts.repairable,
    bytes: counts.repairableBytes,
    totalBlobs: counts.blobsListed,
    totalBytes: counts.listedBytes
  }
  if (counts.repairable > allowed) return yield* trip(exposure)
  if (counts.repairable === 0) return true
  const wait = Math.max(Duration.toMillis(settings.quarantine), Duration.toMillis(settings.deleteDelay))
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
    if (repaired.objects + old.length > allowed) {
      return yield* trip({ ...exposure, blobs: repaired.objects + old.length })
    }
    if (old.length > 0) {
      const journaled = new Set(yield* leftovers.journal(now, old, now + wait))
      repaired.objects += journaled.size
      repaired.dueAtMillis = now + wait
      for (const { key, sizeBytes } of old) if (journaled.has(key)) repaired.bytes += sizeBytes
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
