/** The queues of a catalogue, in the order in which garbage passes them. */
import { Duration } from "effect"
import type { Backlog } from "../database/Database.ts"
import type { SweepSettings } from "../sweep/Settings.ts"
import type { PhasesBacklog } from "../sweep/SweepMetrics.ts"
import { isoOrNull } from "./Instants.ts"
import type { Queue } from "./Status.ts"

/** Returns the queues at `at`. */
export const queuesOf = (
  at: number,
  { grace, quarantine }: SweepSettings,
  own: Backlog,
  further: PhasesBacklog
): ReadonlyArray<Queue> => {
  const queue = (
    name: Queue["queue"],
    length: number,
    {
      bytes = null,
      dueAt = null,
      oldestAt = null
    }: Partial<Record<"bytes" | "dueAt" | "oldestAt", number | null>>
  ): Queue => ({
    queue: name,
    length,
    bytes,
    oldestAt: isoOrNull(oldestAt),
    dueAt: isoOrNull(dueAt),
    overdueMillis: dueAt === null ? 0 : Math.max(0, at - dueAt)
  })
  return [
    queue("candidates", own.candidates, {}),
    queue("orphans", own.waiting, { oldestAt: own.oldestSeenAt, dueAt: after(own.oldestSeenAt, grace) }),
    queue("condemned", own.condemned, {
      bytes: own.condemnedBytes,
      oldestAt: own.oldestCondemnedAt,
      dueAt: after(own.oldestCondemnedAt, quarantine)
    }),
    queue("journal", own.journaled, { bytes: own.journaledBytes, dueAt: own.nextJournalAt }),
    queue("dead_letters", own.deadLetters, { oldestAt: own.oldestDeadAt }),
    queue("intents", own.intents, { dueAt: own.nextIntentAt }),
    queue("sessions", further.sessions, {
      oldestAt: earliest(further.oldestAt),
      dueAt: earliest(further.dueAt)
    }),
    queue("pins", own.pins, { dueAt: own.nextPinAt })
  ]
}

const after = (instant: number | null, wait: Duration.Duration): number | null =>
  instant === null ? null : instant + Duration.toMillis(wait)

const earliest = (instants: ReadonlyArray<number>): number | null =>
  instants.length === 0 ? null : Math.min(...instants)
