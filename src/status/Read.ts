/** Builds the status of a catalogue's collectors from the database. Reads only. */
import { Effect, Option, Schema } from "effect"
import {
  type BreakerState,
  CollectorDatabase,
  type HistoryEntry,
  isOpen,
  type Override,
  type Pause,
  type RecordedAudit
} from "../database/Database.ts"
import { AuditSummary } from "../domain/AuditReport.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import { SweepReport } from "../domain/SweepReport.ts"
import { backlogOf } from "../sweep/Backlogs.ts"
import type { Phase } from "../sweep/Phase.ts"
import type { SweepSettings } from "../sweep/Settings.ts"
import { adviceOf } from "./Advice.ts"
import { collectorsOf } from "./Collectors.ts"
import { iso, isoOrNull } from "./Instants.ts"
import { queuesOf } from "./Queues.ts"
import type { BreakerStatus, EndedSweep, LastAudit, OverrideStatus, PauseStatus, Status } from "./Status.ts"
import { waitsOf } from "./Waits.ts"

/** What the status of a catalogue depends on beside its database. */
export interface ReadOptions<R> {
  /** The waits by which rows become due, where no collector at work tells its own. */
  readonly settings: SweepSettings
  /** The phases of the collectors: `registryPhases` beside a registry. */
  readonly phases: ReadonlyArray<Phase<R>>
}

/** Ended sweeps among which a success is looked for. */
const recent = 50

/** Returns the status at `at`, in milliseconds since the epoch. Its questions are not asked in one snapshot. */
export const read = Effect.fn("Status.read")(function* <R>(
  at: number,
  { phases, settings: own }: ReadOptions<R>
): Effect.fn.Return<Status, DatabaseError, R | CollectorDatabase> {
  const database = yield* CollectorDatabase
  const { overrides, pause } = yield* database.control.orders(at)
  const peers = yield* database.peers.others(at, noCollector)
  const ended = yield* database.history.page(0, null, recent)
  const breakers = yield* database.breakers.list
  const settings = waitsOf(own, peers)
  const backlog = yield* database.backlog(at)
  const further = yield* backlogOf(settings, phases)
  const audited = yield* database.audit.last
  const [last] = ended
  const lastGood = ended.find(({ outcome }) => outcome === "complete" || outcome === "bounded")
  const collectors = collectorsOf(peers, backlog.journalDue)
  const sweeping = collectors.some(({ activity }) => activity === "sweeping")
  const due = collectors.flatMap(({ nextDueAt }) => nextDueAt ?? []).sort()
  const lastSweep = last === undefined ? null : endedOf(last)
  const found: Omit<Status, "advice" | "health"> = {
    at: iso(at),
    activity: sweeping
      ? "sweeping"
      : pause !== null
        ? "paused"
        : collectors.length === 0
          ? "absent"
          : "waiting",
    database: database.description,
    pause: pause === null ? null : pauseOf(pause),
    last: lastSweep,
    lastSuccessAt: isoOrNull(lastGood?.endedAt ?? null),
    nextDueAt: pause === null ? (due[0] ?? null) : null,
    collectors,
    queues: queuesOf(at, settings, backlog, further),
    guards: lastSweep?.report?.guards ?? [],
    breakers: breakers.map(breakerOf),
    overrides: overrides.map(overrideOf),
    lastAudit: audited === null ? null : auditOf(audited)
  }
  const advice = adviceOf(at, found)
  return { ...found, advice, health: healthOf(advice.map(({ severity }) => severity)) }
})

/** The name of no collector, so that all are read. */
const noCollector = ""

const healthOf = (severities: ReadonlyArray<string>): Status["health"] =>
  severities.includes("broken") ? "broken" : severities.includes("attention") ? "attention" : "ok"

const decodeReport = Schema.decodeUnknownOption(SweepReport)

/** Returns an entry of the history as it is shown. */
export const endedOf = (entry: HistoryEntry): EndedSweep => ({
  sweep: entry.sweep,
  collector: entry.collector,
  startedAt: iso(entry.startedAt),
  endedAt: iso(entry.endedAt),
  outcome: entry.outcome,
  report: Option.getOrNull(decodeReport(entry.report))
})

const decodeAudit = Schema.decodeUnknownOption(AuditSummary)

const auditOf = ({ endedAt, summary }: RecordedAudit): LastAudit | null =>
  Option.match(decodeAudit(summary), {
    onNone: () => null,
    onSome: ({ findings, repaired }) => ({
      endedAt: iso(endedAt),
      ...findings,
      ownerless: {
        objects: Math.max(0, findings.ownerless.objects - (repaired?.objects ?? 0)),
        bytes: Math.max(0, findings.ownerless.bytes - (repaired?.bytes ?? 0))
      }
    })
  })

const pauseOf = ({ by, reason, since, until }: Pause): PauseStatus => ({
  since: iso(since),
  by,
  reason,
  until: isoOrNull(until)
})

/** Returns a changed setting as it is shown. */
export const overrideOf = ({ name, value, ...order }: Override): OverrideStatus => ({
  name,
  value,
  ...pauseOf(order)
})

const breakerOf = (state: BreakerState): BreakerStatus => ({
  name: state.name,
  open: isOpen(state),
  trippedAt: isoOrNull(state.trippedAt),
  confirmedAt: isoOrNull(state.confirmedAt),
  exposure: state.exposure
})
