/**
 * A phase of a sweep is a value: a name, a share of the time, perhaps a breaker, and what it does with a context. Adding
 * one is a file and a line in a list (src/sweep/CollectorPhases.ts, src/oci/RegistryPhases.ts). The report, its text and the refusal of a
 * whole sweep are built from the list.
 *
 * A phase finds garbage page by page and hands it on for deletion. A dry run prints the same plan instead of carrying it
 * out, so a phase asks `dryRun` only where it would write or delete.
 */
import type { Context, Effect, Stream } from "effect"
import type { JournalEntry, LostTime } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { AgeRefused, BreakerOpen } from "../domain/Refusals.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { Sources } from "./AskSources.ts"
import type { Bounds } from "./Bounds.ts"
import type { Breaker } from "./Breaker.ts"
import type { Deletion } from "./Deletion.ts"
import type { OddRows } from "./OddRows.ts"
import type { Pace } from "./Pace.ts"
import type { PhaseCounts } from "./PhaseCounts.ts"
import type { SweepSettings } from "./Settings.ts"

/** What ends a phase early. The sweep reports it and runs the phases behind it. */
export type PhaseError = DatabaseError | StorageError | BreakerOpen | AgeRefused

/** Rows that wait for a later sweep and that the collector's own backlog does not count. */
export interface PhaseBacklog {
  /** Upload sessions that are open or being finished. */
  readonly sessions: number
  /** When the first of the rows is due; null without one. */
  readonly dueAt: number | null
  /** Since when the oldest of the rows has been idle; null without one. Default: not known. */
  readonly oldestAt?: number | null
}

/** One step of a sweep. `R` are the services that it needs. */
export interface Phase<R = never> {
  /** The key of its report. Phases of one name run one after the other, share their time, and report together. */
  readonly name: string
  /**
   * The fraction of the sweep's remaining time that it may use, above 0 and at most 1. Phases that begin anew in every
   * sweep take less than all, so that those behind them run in every sweep.
   */
  readonly timeShare: number
  /** The services of `R`, which `Sweep.layer` takes from where it is built. */
  readonly requires: ReadonlyArray<Context.Key<R, unknown>>
  /** Keeps it from deleting more than a mistake may take. Default: none. */
  readonly breaker?: Breaker<R>
  /** Leaves it out of a report's text while it saw nothing and did not fail. Default false. */
  readonly isQuiet?: boolean
  /** Counts what waits for a later sweep, beside the collector's backlog. Default: nothing. */
  readonly backlog?: (settings: SweepSettings) => Effect.Effect<PhaseBacklog, DatabaseError, R>
  /** Does its work within the bounds of the context. Fails with what ended it. */
  readonly run: (context: PhaseContext) => Effect.Effect<void, PhaseError, R>
}

/** When the objects of keys that are journaled now may be deleted. */
export interface DeletionTimes {
  /** The present, in milliseconds since the epoch. */
  readonly now: number
  /** When the objects may be deleted, in milliseconds since the epoch. */
  readonly deleteNotBefore: number
  /** Until when no other collector deletes them; null where a delete delay leaves them to any collector. */
  readonly leaseUntil: number | null
}

/** Keys that a transaction has journaled and leased to this collector. */
export interface LeasedPage<Cursor> {
  /** The keys, with what the journal knows of each. */
  readonly entries: ReadonlyArray<JournalEntry>
  /** How many deletions of `limit` it used. */
  readonly used: number
  /** Where the next page begins; null when none is left. */
  readonly next: Cursor | null
}

/** What a phase works with. */
export interface PhaseContext {
  /** The settings in force. */
  readonly settings: SweepSettings
  /** True: nothing may be written to the database or deleted from the store. */
  readonly dryRun: boolean
  /** The id of the sweep. */
  readonly sweep: string
  /**
   * A time of which the database may have forgotten what was written. Objects of that time that nothing owns
   * are kept, and so are uploads that were unfinished then (src/sweep/LostTime.ts). Null without one.
   */
  readonly lost: LostTime | null
  /** What ends it early. Its time is the phase's share. */
  readonly bounds: Bounds
  /** Its growing report. */
  readonly counts: PhaseCounts
  /** Limits how many requests the sweep sends to the store at once. */
  readonly pace: Pace
  /** Deletes the objects of journaled keys and confirms them. */
  readonly deletion: Deletion
  /** Rows with odd values, which the sweep names and passes over. */
  readonly odd: OddRows
  /** References that are kept elsewhere. */
  readonly sources: Sources
  /** Answers whether another page or batch may begin. If not, the report says why. */
  readonly mayContinue: Effect.Effect<boolean>
  /** Returns the same context with this fraction of its remaining time. */
  readonly share: (fraction: number) => Effect.Effect<PhaseContext>
  /**
   * Runs `next` from cursor to cursor until it answers null or a bound is reached. Answers whether none is left.
   */
  readonly pages: <Cursor, E, R>(
    next: (cursor: Cursor | null) => Effect.Effect<Cursor | null, E, R>
  ) => Effect.Effect<boolean, E, R>
  /**
   * Runs `each` for the pages of a listing until none is left or a bound is reached. Each page is a request of the sweep's
   * pace.
   */
  readonly listing: <Page, E, E2, R, R2>(
    pages: Stream.Stream<Page, E, R>,
    each: (page: Page) => Effect.Effect<void, E2, R2>
  ) => Effect.Effect<void, E | E2, R | R2>
  /** Carries out `act` for each batch, `deleteConcurrency` at once. */
  readonly forEachBatch: <Batch, E, E2, R, R2>(
    batches: Stream.Stream<Batch, E, R>,
    act: (batch: Batch) => Effect.Effect<void, E2, R2>
  ) => Effect.Effect<void, E | E2, R | R2>
  /**
   * Deletes the objects of `next`'s pages while `next` fetches those behind them. `limit` is the part of a batch that the
   * sweep's count still allows.
   */
  readonly deletePages: <Cursor, E, R>(
    next: (limit: number, cursor: Cursor | null) => Effect.Effect<LeasedPage<Cursor>, E, R>
  ) => Effect.Effect<void, E | DatabaseError | StorageError, R>
  /** When keys that are journaled at this moment may be deleted. */
  readonly deletionTimes: Effect.Effect<DeletionTimes>
  /** Returns those of `entries` that are to be deleted in this sweep: all, or none where there is a delete delay. */
  readonly undelayed: (entries: ReadonlyArray<JournalEntry>) => ReadonlyArray<JournalEntry>
}
