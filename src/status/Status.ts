/**
 * The state of the collectors of a catalogue as one plain value: what they do, what waits, what refuses, and what an
 * operator should do next. `artifact-gc status --json` prints it, and the page for operators renders it.
 *
 * Members are only ever added. docs/status.schema.json is generated from these schemas.
 */
import { Schema } from "effect"
import { GuardFinding, SweepReport } from "../domain/SweepReport.ts"

const Instant = Schema.String.annotate({ description: "An instant, ISO 8601 in UTC." })
const Count = Schema.Int

/** How much attention an operator owes. `info` needs none. */
export const Severity = Schema.Literals(["broken", "attention", "info"])
export type Severity = typeof Severity.Type

/** One thing that an operator should do. */
export const Advice = Schema.Struct({
  severity: Severity,
  what: Schema.String.annotate({ description: "What was found, and what to do, as a sentence or two." }),
  command: Schema.NullOr(Schema.String).annotate({
    description: "The command that does it or shows more; null if none does."
  })
})
export type Advice = typeof Advice.Type

/** How far a phase is. */
export const PhaseProgress = Schema.Struct({
  phase: Schema.String,
  seen: Count.annotate({ description: "Items examined so far." }),
  deleted: Count.annotate({ description: "Objects deleted so far." }),
  bytes: Schema.Finite.annotate({ description: "Recorded size of the deleted objects." }),
  expected: Schema.NullOr(Count).annotate({
    description: "How many deletions the phase expects in all; null if that is not known."
  }),
  perSecond: Schema.Finite.annotate({
    description: "Deletions a second since the phase began; without any, items examined a second."
  }),
  endsAt: Schema.NullOr(Instant).annotate({
    description: "When the phase ends at this rate; null if its end is not known."
  })
})
export type PhaseProgress = typeof PhaseProgress.Type

/** A sweep under way. */
export const RunningSweep = Schema.Struct({
  sweep: Schema.String.annotate({ description: "The name of the sweep, as in its report and its logs." }),
  startedAt: Instant,
  at: Instant.annotate({ description: "When the collector last told how far it is." }),
  phases: Schema.Array(PhaseProgress).annotate({
    description: "The phases that have begun, in their order. The last one is under way."
  }),
  failures: Schema.Array(Schema.Struct({ phase: Schema.String, message: Schema.String })).annotate({
    description: "The phases that have failed so far. The sweep continues behind them."
  })
})
export type RunningSweep = typeof RunningSweep.Type

/** A collector that counts as at work. */
export const CollectorState = Schema.Struct({
  id: Schema.String,
  seenAt: Instant.annotate({ description: "When its last sweep began." }),
  activity: Schema.Literals(["sweeping", "waiting", "unknown"]).annotate({
    description: "What it last said that it does. `unknown`: a version that does not say."
  }),
  sweep: Schema.NullOr(RunningSweep),
  nextDueAt: Schema.NullOr(Instant).annotate({
    description: "When its next sweep is due; null during a sweep and without a schedule."
  }),
  settings: Schema.Record(Schema.String, Schema.String).annotate({
    description: "Its values of the settings on which all collectors must agree, by name."
  }),
  differs: Schema.Array(Schema.String).annotate({
    description: "The names of these settings whose values another collector does not share."
  })
})
export type CollectorState = typeof CollectorState.Type

/** A sweep that has ended. */
export const EndedSweep = Schema.Struct({
  sweep: Schema.String.annotate({ description: "The name of the sweep, as in its report and its logs." }),
  collector: Schema.String,
  startedAt: Instant,
  endedAt: Instant,
  outcome: Schema.String.annotate({
    description: "How it ended: complete, bounded, failed or refused, as in its report."
  }),
  report: Schema.NullOr(SweepReport).annotate({
    description: "The report; null if another version wrote it in a form that this one cannot read."
  })
})
export type EndedSweep = typeof EndedSweep.Type

/** The queues, in the order in which garbage passes them. */
export const queueNames = [
  "candidates",
  "orphans",
  "condemned",
  "journal",
  "dead_letters",
  "intents",
  "sessions",
  "pins"
] as const

/** Rows that wait for a later sweep. */
export const Queue = Schema.Struct({
  queue: Schema.Literals(queueNames),
  length: Count,
  bytes: Schema.NullOr(Schema.Finite).annotate({ description: "Recorded size; null if it is not known." }),
  oldestAt: Schema.NullOr(Instant).annotate({
    description:
      "Since when the oldest row waits: seen, condemned, given up on, or last active. null if that is not recorded."
  }),
  dueAt: Schema.NullOr(Instant).annotate({
    description: "When the first row is due; null without one, and where rows have no such time."
  }),
  overdueMillis: Schema.Finite.annotate({
    description: "For how long the first row has been due; 0 if none is."
  })
})
export type Queue = typeof Queue.Type

/** A breaker that ever tripped. */
export const BreakerStatus = Schema.Struct({
  name: Schema.String,
  open: Schema.Boolean.annotate({
    description: "Whether it holds back deletions until an operator confirms."
  }),
  trippedAt: Schema.NullOr(Instant),
  confirmedAt: Schema.NullOr(Instant),
  exposure: Schema.NullOr(
    Schema.Struct({
      blobs: Schema.Finite,
      bytes: Schema.Finite,
      totalBlobs: Schema.Finite,
      totalBytes: Schema.Finite
    })
  ).annotate({ description: "How much would have been deleted, of how much, when it last tripped." })
})
export type BreakerStatus = typeof BreakerStatus.Type

/** Who ordered something, when and why. */
const order = {
  since: Instant,
  by: Schema.String,
  reason: Schema.String,
  until: Schema.NullOr(Instant).annotate({ description: "When it ends by itself; null if it does not." })
}

const Amount = Schema.Struct({ objects: Count, bytes: Schema.Finite })

/** What the last audit of all keys found. */
export const LastAudit = Schema.Struct({
  endedAt: Instant,
  ownerless: Amount.annotate({
    description: "Objects that nothing owned. Those that the audit journaled for deletion are left out."
  }),
  missing: Amount.annotate({ description: "Blobs whose object was missing, with the sizes by their rows." }),
  sizeMismatches: Count.annotate({ description: "Blobs whose row and object had different sizes." }),
  digestMismatches: Count.annotate({
    description: "Blobs whose bytes had another digest. Only an audit with --deep looks for them."
  })
})
export type LastAudit = typeof LastAudit.Type

/** A pause of all collectors. */
export const PauseStatus = Schema.Struct(order)
export type PauseStatus = typeof PauseStatus.Type

/** A setting that was changed in the database. */
export const OverrideStatus = Schema.Struct({ name: Schema.String, value: Schema.String, ...order })
export type OverrideStatus = typeof OverrideStatus.Type

/** The state of the collectors of a catalogue. Instants are ISO 8601. */
export const Status = Schema.Struct({
  at: Instant.annotate({ description: "When it was read." }),
  health: Schema.Literals(["ok", "attention", "broken"]).annotate({
    description: "The worst severity of the advice. `broken`: nothing is collected until an operator acts."
  }),
  activity: Schema.Literals(["sweeping", "waiting", "paused", "absent"]).annotate({
    description: "What the collectors do. `absent`: no collector is known to be at work."
  }),
  advice: Schema.Array(Advice).annotate({ description: "What an operator should do next, worst first." }),
  database: Schema.String.annotate({ description: "The catalogue's database, without its password." }),
  pause: Schema.NullOr(PauseStatus),
  last: Schema.NullOr(EndedSweep).annotate({
    description: "The last sweep that ended; null before the first."
  }),
  lastSuccessAt: Schema.NullOr(Instant).annotate({
    description: "When a sweep last ended complete or bounded; null if none of the recent ones did."
  }),
  nextDueAt: Schema.NullOr(Instant).annotate({
    description: "When the next sweep is due; null during a pause, and where no collector said so."
  }),
  collectors: Schema.Array(CollectorState),
  queues: Schema.Array(Queue).annotate({
    description: "All queues, in the order in which garbage passes them."
  }),
  guards: Schema.Array(GuardFinding).annotate({ description: "What the guards found in the last sweep." }),
  breakers: Schema.Array(BreakerStatus),
  overrides: Schema.Array(OverrideStatus).annotate({
    description: "Settings that were changed in the database, by name."
  }),
  lastAudit: Schema.NullOr(LastAudit).annotate({
    description:
      "What the last audit of all keys found; null without one, or if another version wrote it in a form that this one cannot read."
  })
})
export type Status = typeof Status.Type
