/** Updates the metrics of whole sweeps: how they end, what guards say, and what waits. */
import { Clock, Context, Duration, Effect, Metric, type Scope } from "effect"
import type { Backlog } from "../database/Database.ts"
import { showRead, showSince } from "../domain/DeclaredMetric.ts"
import type { SweepReport } from "../domain/SweepReport.ts"
import * as Metrics from "./Metrics.ts"
import type { SweepSettings } from "./Settings.ts"

/** What waits for the phases, beside the collector's backlog. */
export interface PhasesBacklog {
  readonly sessions: number
  readonly dueAt: ReadonlyArray<number>
  readonly oldestAt: ReadonlyArray<number>
}

/** Counts the sweep as under way while it runs, a dry run, too. */
export const running = <A, E, R>(sweep: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Metric.modify(Metrics.sweepsRunning.of(), 1),
    () => sweep,
    () => Metric.modify(Metrics.sweepsRunning.of(), -1)
  )

/** Counts a sweep that has ended, and shows what it left. A dry run is not counted. */
export const ended = (
  report: SweepReport,
  settings: SweepSettings,
  backlog: readonly [own: Backlog, phases: PhasesBacklog] | null
): Effect.Effect<void> =>
  Effect.contextWith((context) => {
    const { dryRun, durationMillis, guards, outcome, startedAt } = report
    if (dryRun) return Effect.void
    Metrics.sweeps.of({ outcome }).updateUnsafe(1, context)
    Metrics.sweepDuration.of().updateUnsafe(durationMillis / 1000, context)
    const endedAt = (Date.parse(startedAt) + durationMillis) / 1000
    Metrics.lastSweep.of({ outcome }).updateUnsafe(endedAt, context)
    const refusing = new Set(guards.flatMap(({ decision, guard }) => (decision === "refused" ? [guard] : [])))
    for (const guard of Metrics.guardRefusing.labels.guard) {
      Metrics.guardRefusing.of({ guard }).updateUnsafe(refusing.has(guard) ? 1 : 0, context)
    }
    if (backlog === null) return Effect.void
    const [own, phases] = backlog
    for (const [queue, length] of lengthsOf(own, phases)) {
      Metrics.queueLength.of({ queue }).updateUnsafe(length, context)
    }
    Metrics.queueBytes.of({ queue: "condemned" }).updateUnsafe(own.condemnedBytes, context)
    Metrics.queueBytes.of({ queue: "journal" }).updateUnsafe(own.journaledBytes, context)
    for (const [queue, since] of oldestOf(own, phases)) {
      showSince(Metrics.queueOldestAge.of({ queue }), since, context)
    }
    for (const [queue, due] of dueOf(settings, own, phases)) {
      showSince(Metrics.queueOverdue.of({ queue }), due, context)
    }
    return Effect.void
  })

/** Shows whether a breaker is open. */
export const breaker = (name: string, isOpen: boolean): Effect.Effect<void> =>
  Metric.update(Metrics.breakerOpen.of({ breaker: name }), isOpen ? 1 : 0)

/** Shows how far the other clocks are ahead, in milliseconds; null where a store tells no time. */
export const skew = (database: number, store: number | null): Effect.Effect<void> =>
  Effect.andThen(
    Metric.update(Metrics.clockSkew.of({ clock: "database" }), database / 1000),
    store === null ? Effect.void : Metric.update(Metrics.clockSkew.of({ clock: "store" }), store / 1000)
  )

/** Shows how long a sweep has been due until the scope closes. `dueAt` answers null while none is. */
export const showLag = (dueAt: () => number | null): Effect.Effect<void, never, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<Scope.Scope>) => {
    const shown = showRead(Metrics.scheduleLag.of(), context, (reader) => {
      const due = dueAt()
      const now = Context.get(reader, Clock.Clock).currentTimeMillisUnsafe()
      return due === null ? 0 : Math.max(0, now - due) / 1000
    })
    return Effect.addFinalizer(() => Effect.sync(shown.remove))
  })

type QueueOf<M extends { readonly labels: { readonly queue: ReadonlyArray<string> } }> =
  M["labels"]["queue"][number]

const lengthsOf = (
  own: Backlog,
  { sessions }: PhasesBacklog
): ReadonlyArray<readonly [QueueOf<typeof Metrics.queueLength>, number]> => [
  ["orphans", own.waiting],
  ["candidates", own.candidates],
  ["condemned", own.condemned],
  ["journal", own.journaled],
  ["dead_letters", own.deadLetters],
  ["intents", own.intents],
  ["sessions", sessions],
  ["pins", own.pins]
]

const earliest = (instants: ReadonlyArray<number>): number | null =>
  instants.length === 0 ? null : Math.min(...instants)

const oldestOf = (
  own: Backlog,
  { oldestAt }: PhasesBacklog
): ReadonlyArray<readonly [QueueOf<typeof Metrics.queueOldestAge>, number | null]> => [
  ["orphans", own.oldestSeenAt],
  ["condemned", own.oldestCondemnedAt],
  ["dead_letters", own.oldestDeadAt],
  ["sessions", earliest(oldestAt)]
]

const after = (instant: number | null, wait: Duration.Duration): number | null =>
  instant === null ? null : instant + Duration.toMillis(wait)

const dueOf = (
  { grace, quarantine }: SweepSettings,
  own: Backlog,
  { dueAt }: PhasesBacklog
): ReadonlyArray<readonly [QueueOf<typeof Metrics.queueOverdue>, number | null]> => [
  ["orphans", after(own.oldestSeenAt, grace)],
  ["condemned", after(own.oldestCondemnedAt, quarantine)],
  ["journal", own.nextJournalAt],
  ["intents", own.nextIntentAt],
  ["sessions", earliest(dueAt)],
  ["pins", own.nextPinAt]
]
