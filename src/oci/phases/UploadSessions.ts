/**
 * Ends upload sessions that no client continues. Their last activity decides, which every request notes, and never the
 * age of an object: the first chunk of a slow push is old while the push is alive.
 *
 * The transaction that ends a session journals its chunks, under a lease of this collector, which then deletes their
 * objects. A client that returns to such a session is told that it is unknown, and begins a new one.
 */
import { Clock, Duration, Effect } from "effect"
import type { Phase, PhaseContext } from "../../sweep/Phase.ts"
import { RegistryDatabase } from "../database/RegistryDatabase.ts"

/** Reports as `uploads`, before the listing of staged uploads, with which it shares half of the time. */
export const uploadSessions: Phase<RegistryDatabase> = {
  name: "uploads",
  timeShare: 1 / 2,
  requires: [RegistryDatabase],
  backlog: Effect.fnUntraced(function* ({ uploadGrace }) {
    const { oldestActivityAt, sessions } = yield* (yield* RegistryDatabase).sessions.backlog
    const dueAt = oldestActivityAt === null ? null : oldestActivityAt + Duration.toMillis(uploadGrace)
    return { sessions, dueAt, oldestAt: oldestActivityAt }
  }),
  run: (context) => (context.dryRun ? preview(context) : collect(context))
}

const collect = Effect.fnUntraced(function* (context: PhaseContext) {
  // A session that was open when a backup was made may have become a blob, whose object is its first chunk.
  if (context.lost !== null) return
  const { sessions } = yield* RegistryDatabase
  const idleSince = yield* idleSinceOf(context)
  yield* context.deletePages(
    Effect.fnUntraced(function* (limit) {
      const { deleteNotBefore, leaseUntil, now } = yield* context.deletionTimes
      const expired = yield* sessions.expire({ now, idleSince, limit, deleteNotBefore, leaseUntil })
      const isLast = expired.sessions + expired.forgotten === 0
      const entries = context.undelayed(granted(context, limit, expired.journaled))
      return { entries, used: Math.min(limit, expired.journaled.length), next: isLast ? null : "more" }
    })
  )
})

/** A session ends as a whole, even with more chunks than may be deleted now. The rest stays journaled. */
const granted = <A>({ bounds, counts }: PhaseContext, limit: number, journaled: ReadonlyArray<A>) => {
  const ours = journaled.slice(0, limit + bounds.grant(Math.max(0, journaled.length - limit)))
  if (ours.length < journaled.length) counts.stoppedBy("count")
  counts.seen(journaled.length)
  counts.eligible(ours.length, 0, [])
  counts.kept("journaled", journaled.length - ours.length)
  return ours
}

const preview = Effect.fnUntraced(function* (context: PhaseContext) {
  if (context.lost !== null) return
  const { sessions } = yield* RegistryDatabase
  const now = yield* Clock.currentTimeMillis
  const { bytes, chunks } = yield* sessions.idle(now, yield* idleSinceOf(context))
  context.counts.seen(chunks)
  context.counts.eligible(chunks, bytes, [])
})

const idleSinceOf = ({ settings }: PhaseContext) =>
  Effect.map(Clock.currentTimeMillis, (now) => now - Duration.toMillis(settings.uploadGrace))
