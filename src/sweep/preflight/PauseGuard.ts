/** The pause guard. An operator who pauses a catalogue expects that nothing of it is deleted, whatever starts a sweep. */
import { Effect } from "effect"
import { CollectorDatabase, type Pause } from "../../database/Database.ts"
import { CollectionPaused } from "../../domain/Refusals.ts"
import type { GuardContext } from "./Guard.ts"

/** Returns the refusal that a pause causes. */
export const pausedBy = ({ by, reason, since, until }: Pause): CollectionPaused =>
  new CollectionPaused({
    since: new Date(since).toISOString(),
    by,
    reason,
    until: until === null ? null : new Date(until).toISOString()
  })

/** Fails with `CollectionPaused` while a pause is in force. A dry run, and a sweep in spite of it, only name it. */
export const pauseGuard = Effect.fnUntraced(function* ({
  dryRun,
  evenIfPaused,
  now,
  tellOrders
}: GuardContext) {
  const { control } = yield* CollectorDatabase
  const orders = yield* control.orders(now)
  tellOrders(orders)
  const { pause } = orders
  if (pause === null) return []
  if (!dryRun && !evenIfPaused) return yield* pausedBy(pause)
  const { by, reason, since } = pausedBy(pause)
  return [
    `Collection is paused since ${since} by ${by} (${reason}). This sweep ${dryRun ? "deletes nothing" : "was started in spite of it"}.`
  ]
})
