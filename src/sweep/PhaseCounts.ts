/**
 * The growing report of a phase. Whichever fiber finished a batch updates it, once per batch. Each update is synchronous,
 * so fibers cannot interleave within one.
 */
import { Cause, Context, Effect, Schema } from "effect"
import { type SweepError, SweepErrorTag } from "../domain/SweepError.ts"
import { emptyPhase, type PhaseFailure, type PhaseReport, type StoppedBy } from "../domain/SweepReport.ts"
import { nameOf } from "../storage/DeleteFailure.ts"
import type { DeleteFailure } from "../storage/Storage.ts"
import * as PhaseMetrics from "./PhaseMetrics.ts"
import { Progress, type ProgressEvent } from "./Progress.ts"

/** How many candidates of a phase a dry run names. A report stays readable, and its size bounded. */
const sampleMax = 20

/** Records what a phase did. */
export interface PhaseCounts {
  /** Adds things that were examined. */
  readonly seen: (count: number) => void
  /** Adds garbage whose waits are over. In a dry run also its bytes, and its names as samples. */
  readonly eligible: (count: number, bytes: number, names: Iterable<string>) => void
  /** Adds objects that the store confirmed deleted, with their bytes. */
  readonly deleted: (count: number, bytes: number) => void
  /** Adds things that were examined and kept, by reason. */
  readonly kept: (reason: string, count: number) => void
  /** Adds blobs that only pins keep, and when the last of these pins ends. */
  readonly held: (count: number, until: number | null) => void
  /** Adds things that should have been deleted and were not, by reason. */
  readonly failed: (reason: string, count: number) => void
  /** Adds the keys of one answer that the store did not delete. */
  readonly undeleted: (failures: ReadonlyArray<DeleteFailure>) => void
  /** Says which garbage the phase cannot find, and what deletes it. */
  readonly unlisted: (what: string) => void
  /** Records what ended the phase early. The first record stays. */
  readonly stoppedBy: (why: StoppedBy) => void
  /** Records how many deletions are due, for watchers. */
  readonly expect: (deletions: number) => void
  /** Returns the number of the batch that begins, from 1 on. */
  readonly nextBatch: () => number
  /** Reports the progress so far to watchers, if there is any since the last report. */
  readonly announce: Effect.Effect<void>
  /** Records an error that ended the phase. The first one stays. */
  readonly endedBy: (cause: Cause.Cause<SweepError>) => void
  /** Returns the report after `durationMillis`. */
  readonly report: (durationMillis: number) => PhaseReport
}

const add = (counts: Record<string, number>, reason: string, count: number): void => {
  if (count > 0) counts[reason] = (counts[reason] ?? 0) + count
}

/** Returns empty counts for the phase `name`, which tell the metrics and the `Progress` of `context`. */
export const make = (name: string, dryRun: boolean, context: Context.Context<never>): PhaseCounts =>
  new Counts(name, dryRun, PhaseMetrics.make(name, dryRun, context), Context.get(context, Progress).report)

/** A class, because each phase of each sweep makes one. Its members can be used without it. */
class Counts implements PhaseCounts {
  readonly #name: string
  readonly #dryRun: boolean
  readonly #metrics: PhaseMetrics.PhaseMetrics
  #seen = 0
  #eligible = 0
  #deleted = 0
  #bytes = 0
  #expected: number | null = null
  #hasNews = false
  #batches = 0
  readonly #kept: Record<string, number> = {}
  readonly #failed: Record<string, number> = {}
  readonly #sample: Array<string> = []
  #heldUntil: number | null = null
  #unlisted: string | null = null
  #stopped: StoppedBy | null = null
  #error: PhaseReport["error"] = null
  readonly announce: Effect.Effect<void>

  constructor(
    name: string,
    dryRun: boolean,
    metrics: PhaseMetrics.PhaseMetrics,
    tell: (event: ProgressEvent) => Effect.Effect<void>
  ) {
    this.#name = name
    this.#dryRun = dryRun
    this.#metrics = metrics
    this.announce = Effect.suspend(() => {
      if (!this.#hasNews) return Effect.void
      this.#hasNews = false
      return tell({
        phase: this.#name,
        seen: this.#seen,
        deleted: this.#deleted,
        bytes: this.#bytes,
        expected: this.#expected
      })
    })
  }

  readonly seen = (count: number): void => {
    this.#metrics.seen(count)
    this.#seen += count
    this.#hasNews ||= count > 0
  }

  readonly eligible = (count: number, bytes: number, names: Iterable<string>): void => {
    this.#metrics.eligible(count)
    this.#eligible += count
    if (!this.#dryRun) return
    this.#bytes += bytes
    for (const name of names) {
      if (this.#sample.length >= sampleMax) return
      this.#sample.push(name)
    }
  }

  readonly deleted = (count: number, bytes: number): void => {
    this.#metrics.deleted(count, bytes)
    this.#deleted += count
    this.#bytes += bytes
    this.#hasNews = true
  }

  readonly kept = (reason: string, count: number): void => {
    this.#metrics.kept(reason, count)
    add(this.#kept, reason, count)
  }

  readonly held = (count: number, until: number | null): void => {
    this.kept("held", count)
    if (count > 0 && until !== null) this.#heldUntil = Math.max(until, this.#heldUntil ?? until)
  }

  readonly failed = (reason: string, count: number): void => {
    this.#metrics.failed(reason, count)
    add(this.#failed, reason, count)
  }

  readonly undeleted = (failures: ReadonlyArray<DeleteFailure>): void => {
    this.#metrics.undeleted(failures)
    for (const failure of failures) add(this.#failed, nameOf(failure), 1)
  }

  readonly unlisted = (what: string): void => {
    this.#unlisted = what
  }

  readonly stoppedBy = (why: StoppedBy): void => {
    this.#stopped ??= why
  }

  readonly expect = (deletions: number): void => {
    this.#expected = deletions
    this.#hasNews = true
  }

  readonly nextBatch = (): number => {
    this.#batches += 1
    return this.#batches
  }

  readonly endedBy = (cause: Cause.Cause<unknown>): void => {
    this.#error ??= describe(cause)
  }

  readonly report = (durationMillis: number): PhaseReport => {
    const error = this.#error
    this.#metrics.ended(durationMillis, error)
    return {
      ...emptyPhase,
      seen: this.#seen,
      eligible: this.#eligible,
      deleted: this.#deleted,
      bytes: this.#bytes,
      kept: this.#kept,
      ...(this.#heldUntil === null ? {} : { heldUntil: new Date(this.#heldUntil).toISOString() }),
      failed: this.#failed,
      sample: this.#sample,
      ...(this.#unlisted === null ? {} : { unlisted: this.#unlisted }),
      error,
      stoppedBy: error === null ? this.#stopped : "failure",
      durationMillis
    }
  }
}

/** Returns what a report says of an error: its tag and its message, or `Defect` for one that a sweep does not know. */
export const describe = (cause: Cause.Cause<unknown>): PhaseFailure => {
  const error = Cause.squash(cause)
  if (!(error instanceof Error)) return { tag: "Defect", message: String(error) }
  return { tag: "_tag" in error && isKnown(error._tag) ? error._tag : "Defect", message: error.message }
}

const isKnown = Schema.is(SweepErrorTag)
