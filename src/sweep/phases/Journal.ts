/**
 * The keys that earlier sweeps, other collectors and writers left in the journal.
 *
 * A key is tried at most once in a sweep, because a failure puts it off beyond the sweep's beginning; so keys that
 * cannot be deleted never hold up the good ones behind them.
 */
import { Clock, Duration, Effect, Option, Stream } from "effect"
import { Database } from "../../database/Database.ts"
import type { Bounds } from "../Bounds.ts"
import type { Deletion } from "../Deletion.ts"
import type { Tally } from "../PhaseCounts.ts"
import { Progress } from "../Progress.ts"
import type { SweepSettings } from "../Settings.ts"

export const collect = Effect.fnUntraced(function* (
  settings: SweepSettings,
  bounds: Bounds,
  deletion: Deletion,
  tally: Tally
) {
  const { journal, backlog } = yield* Database
  const startedAt = yield* Clock.currentTimeMillis
  yield* reapIntents(settings, startedAt)
  if ((yield* Progress).watched) tally.expect((yield* backlog(startedAt)).journalDue)

  const batches = Stream.paginate(undefined, () =>
    Effect.gen(function* () {
      const exceeded = yield* bounds.exceeded
      if (exceeded !== null) {
        tally.stoppedBy(exceeded)
        return [[], Option.none()] as const
      }
      const limit = bounds.grant(settings.batchMax)
      const leaseUntil = (yield* Clock.currentTimeMillis) + Duration.toMillis(settings.lease)
      const { entries, readopted } = yield* journal.claim(startedAt, leaseUntil, limit)
      bounds.giveBack(limit - entries.length)
      tally.seen(entries.length + readopted)
      tally.eligible(entries.length, 0, [])
      tally.kept("owned again", readopted)
      const more = entries.length + readopted === limit
      return [entries.length === 0 ? [] : [entries], more ? Option.some(undefined) : Option.none()] as const
    })
  )
  yield* batches.pipe(
    Stream.mapEffect((entries) => Effect.andThen(deletion.delete(entries, tally), tally.announce), {
      concurrency: settings.deleteConcurrency,
      unordered: true
    }),
    Stream.runDrain
  )
})

/**
 * Uploads that were announced and never finished: their keys die here, their objects with the rest. They are due
 * after this sweep's claims, at the earliest at the next: a dry run does not foresee them, and whether the clock
 * ticks between here and the first claim must not decide.
 */
const reapIntents = Effect.fnUntraced(function* (settings: SweepSettings, now: number) {
  const { journal } = yield* Database
  const due = now + Math.max(1, Duration.toMillis(settings.deleteDelay))
  while ((yield* journal.reapIntents(now, due, settings.batchMax)) === settings.batchMax);
})

/** What `collect` would do now. */
export const plan = Effect.fnUntraced(function* (tally: Tally) {
  const { journaled, journalDue, journalDueBytes } = yield* (yield* Database).backlog(
    yield* Clock.currentTimeMillis
  )
  tally.seen(journaled)
  tally.eligible(journalDue, journalDueBytes, [])
  tally.kept("not due", journaled - journalDue)
})
