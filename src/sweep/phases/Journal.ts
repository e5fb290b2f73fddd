/**
 * Deletes the objects of keys that earlier sweeps, other collectors and writers left in the journal.
 *
 * A key is tried at most once in a sweep, because a failure postpones it beyond the beginning of the sweep. So keys that
 * cannot be deleted never hold up the keys behind them.
 */
import { Clock, Duration, Effect } from "effect"
import { CollectorDatabase } from "../../database/Database.ts"
import type { Storage } from "../../storage/Storage.ts"
import type { LeasedPage, Phase, PhaseContext } from "../Phase.ts"
import { Progress } from "../Progress.ts"

/** Reaps expired intents, then deletes what is due. */
export const journal: Phase<CollectorDatabase | Storage> = {
  name: "journal",
  timeShare: 1,
  requires: [CollectorDatabase],
  run: (context) => (context.dryRun ? preview(context) : collect(context))
}

const collect = Effect.fnUntraced(function* (context: PhaseContext) {
  const startedAt = yield* Clock.currentTimeMillis
  yield* reapIntents(context, startedAt)
  if ((yield* Progress).watched) {
    const { backlog } = yield* CollectorDatabase
    context.counts.expect((yield* backlog(startedAt)).journalDue)
  }
  yield* context.deletePages((limit) => claim(context, startedAt, limit))
})

const claim = Effect.fnUntraced(function* (
  { counts, settings }: PhaseContext,
  startedAt: number,
  limit: number
) {
  const { journal } = yield* CollectorDatabase
  const leaseUntil = (yield* Clock.currentTimeMillis) + Duration.toMillis(settings.lease)
  const { entries, readopted } = yield* journal.claim(startedAt, leaseUntil, limit)
  counts.seen(entries.length + readopted)
  counts.eligible(entries.length, 0, [])
  counts.kept("owned again", readopted)
  const isFull = entries.length + readopted === limit
  return { entries, used: entries.length, next: isFull ? "more" : null } satisfies LeasedPage<"more">
})

/**
 * Moves the keys of uploads that were announced and never finished into the journal. They are due after this sweep's
 * claims, at the earliest in the next sweep: a dry run does not foresee them, and a tick of the clock between here and
 * the first claim must not decide.
 */
const reapIntents = Effect.fnUntraced(function* ({ lost, settings }: PhaseContext, now: number) {
  const { journal } = yield* CollectorDatabase
  const due = now + Math.max(1, Duration.toMillis(settings.deleteDelay))
  // Of an upload that was under way when a backup was made, the lost rows may own the object. Its intent may
  // expire only after the restore, and no upload is under way for longer than its grace period.
  const expiredAfter = lost === null ? undefined : lost.to + Duration.toMillis(settings.uploadGrace)
  const reap = journal.reapIntents(now, due, settings.batchMax, expiredAfter)
  while ((yield* reap) === settings.batchMax);
})

const preview = Effect.fnUntraced(function* ({ counts }: PhaseContext) {
  const { backlog } = yield* CollectorDatabase
  const { journalDue, journalDueBytes, journaled } = yield* backlog(yield* Clock.currentTimeMillis)
  counts.seen(journaled)
  counts.eligible(journalDue, journalDueBytes, [])
  counts.kept("not due", journaled - journalDue)
})
