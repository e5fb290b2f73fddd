/** What a sweep leaves for a later one. */
import { Duration, Effect } from "effect"
import type { Backlog } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Left } from "../domain/SweepReport.ts"
import type { Phase } from "./Phase.ts"
import type { SweepSettings } from "./Settings.ts"
import type { PhasesBacklog } from "./SweepMetrics.ts"

const nothing: PhasesBacklog = { sessions: 0, dueAt: [], oldestAt: [] }

/** Adds up what waits for the phases, beside the collector's backlog. */
export const backlogOf = <R>(
  settings: SweepSettings,
  phases: ReadonlyArray<Phase<R>>
): Effect.Effect<PhasesBacklog, DatabaseError, R> => {
  const counted = phases.flatMap(({ backlog }) => backlog ?? [])
  if (counted.length === 0) return Effect.succeed(nothing)
  return Effect.map(
    Effect.forEach(counted, (backlog) => backlog(settings)),
    (backlogs): PhasesBacklog => ({
      sessions: backlogs.reduce((sum, { sessions }) => sum + sessions, 0),
      dueAt: backlogs.flatMap(({ dueAt }) => dueAt ?? []),
      oldestAt: backlogs.flatMap(({ oldestAt }) => oldestAt ?? [])
    })
  )
}

/** Returns the work that waits for a later sweep. */
export const leftOf = (settings: SweepSettings, backlog: Backlog, others: PhasesBacklog): Left => {
  const after = (instant: number | null, wait: Duration.Duration) =>
    instant === null ? [] : [instant + Duration.toMillis(wait)]
  const due = [
    ...after(backlog.oldestSeenAt, settings.grace),
    ...after(backlog.oldestCondemnedAt, settings.quarantine),
    ...after(backlog.nextJournalAt, Duration.zero),
    ...others.dueAt
  ]
  return {
    waiting: backlog.waiting,
    condemned: backlog.condemned,
    condemnedBytes: backlog.condemnedBytes,
    journaled: backlog.journaled,
    intents: backlog.intents,
    sessions: others.sessions,
    pins: backlog.pins,
    deadLetters: backlog.deadLetters,
    nextDueAt: due.length === 0 ? null : new Date(Math.min(...due)).toISOString()
  }
}
