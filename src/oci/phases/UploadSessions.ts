/**
 * Upload sessions that nobody goes on with: ended by their last activity, which every request of theirs notes, and never
 * by the age of an object, because the first chunk of a slow push is old while the push is alive.
 *
 * The transaction that ends a session journals its chunks, under a lease of this collector, which then deletes their
 * objects. Whoever comes back to such a session finds that there is none, and begins a new one.
 */
import { Array as Arr, Clock, Duration, Effect, Option, Stream } from "effect"
import { Database, type JournalEntry } from "../../database/Database.ts"
import type { Bounds } from "../../sweep/Bounds.ts"
import type { Deletion } from "../../sweep/Deletion.ts"
import type { Tally } from "../../sweep/PhaseCounts.ts"
import type { SweepSettings } from "../../sweep/Settings.ts"

/** Ends what is idle page by page, and deletes the objects of earlier pages meanwhile. */
export const collect = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  deletion: Deletion,
  tally: Tally
) {
  const idleSince = yield* idleSinceOf(settings)
  const batches = Stream.paginate(undefined, () => expirePage(settings, bounds, tally, idleSince))
  yield* batches.pipe(
    Stream.mapEffect((entries) => Effect.andThen(deletion.delete(entries, tally), tally.announce), {
      concurrency: settings.deleteConcurrency,
      unordered: true
    }),
    Stream.runDrain
  )
})

/** What `collect` would do now. */
export const plan = Effect.fnUntraced(function* (settings: SweepSettings, tally: Tally) {
  const { sessions } = yield* Database
  const now = yield* Clock.currentTimeMillis
  const { bytes, chunks } = yield* sessions.idle(now, yield* idleSinceOf(settings))
  tally.seen(chunks)
  tally.eligible(chunks, bytes, [])
})

const idleSinceOf = ({ uploadGrace }: SweepSettings) =>
  Effect.map(Clock.currentTimeMillis, (now) => now - Duration.toMillis(uploadGrace))

/** The journal's entries of a page of sessions, in batches, and whether there may be more of them. */
const expirePage = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  tally: Tally,
  idleSince: number
) {
  const { sessions } = yield* Database
  const exceeded = yield* bounds.exceeded
  if (exceeded !== null) {
    tally.stoppedBy(exceeded)
    return [[], Option.none<undefined>()] as const
  }
  const now = yield* Clock.currentTimeMillis
  const delayMillis = Duration.toMillis(settings.deleteDelay)
  const limit = bounds.grant(settings.batchMax)
  const { forgotten, journaled, ...expired } = yield* sessions.expire({
    now,
    idleSince,
    limit,
    deleteNotBefore: now + delayMillis,
    leaseUntil: delayMillis > 0 ? null : now + Duration.toMillis(settings.lease)
  })
  // A session ends as a whole, also one that has more chunks than may be deleted now.
  const granted = limit + bounds.grant(Math.max(0, journaled.length - limit))
  bounds.giveBack(Math.max(0, granted - journaled.length))
  const ours = journaled.slice(0, granted)
  if (ours.length < journaled.length) tally.stoppedBy("count")
  tally.seen(journaled.length)
  tally.eligible(ours.length, 0, [])
  tally.kept("journaled", journaled.length - ours.length)
  if (delayMillis > 0) tally.kept("delete delay", ours.length)
  const batches: ReadonlyArray<ReadonlyArray<JournalEntry>> =
    delayMillis > 0 ? [] : Arr.chunksOf(ours, settings.batchMax)
  const more = expired.sessions + forgotten > 0 ? Option.some(undefined) : Option.none()
  return [batches, more] as const
})
