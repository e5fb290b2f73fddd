/**
 * The growing report of a phase. Whichever fiber finished a batch updates it, once per batch. Each update is synchronous,
 * so fibers cannot interleave within one.
 */
import { Cause, Effect, Schema } from "effect"
import { type SweepError, SweepErrorTag } from "../domain/SweepError.ts"
import { emptyPhase, type PhaseFailure, type PhaseReport, type StoppedBy } from "../domain/SweepReport.ts"
import { nameOf } from "../storage/DeleteFailure.ts"
import type { DeleteFailure } from "../storage/Storage.ts"
import * as PhaseMetrics from "./PhaseMetrics.ts"
import { Progress } from "./Progress.ts"

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

/** Counts by reason, with the metrics of each. */
const makeReasons = (metrics: PhaseMetrics.PhaseMetrics) => {
  const kept: Record<string, number> = {}
  const failed: Record<string, number> = {}
  let heldUntil: number | null = null
  const keep: PhaseCounts["kept"] = (reason, count) => {
    metrics.kept(reason, count)
    add(kept, reason, count)
  }
  return {
    kept: keep,
    held: (count, until) => {
      keep("held", count)
      if (count > 0 && until !== null) heldUntil = Math.max(until, heldUntil ?? until)
    },
    failed: (reason, count) => {
      metrics.failed(reason, count)
      add(failed, reason, count)
    },
    undeleted: (failures) => {
      metrics.undeleted(failures)
      for (const failure of failures) add(failed, nameOf(failure), 1)
    },
    report: () => ({
      kept,
      ...(heldUntil === null ? {} : { heldUntil: new Date(heldUntil).toISOString() }),
      failed
    })
  } satisfies Pick<PhaseCounts, "kept" | "held" | "failed" | "undeleted"> & { report: unknown }
}

/** Returns empty counts for the phase `name`. */
export const make = Effect.fnUntraced(function* (name: string, dryRun: boolean) {
  const progress = yield* Progress
  const metrics = yield* PhaseMetrics.make(name, dryRun)
  const counted = { seen: 0, eligible: 0, deleted: 0, bytes: 0 }
  const { report: reasons, ...byReason } = makeReasons(metrics)
  const sample: Array<string> = []
  let unlisted: string | null = null
  let stopped: StoppedBy | null = null
  let error: PhaseReport["error"] = null
  let expected: number | null = null
  let hasNews = false
  let batches = 0
  const counts: PhaseCounts = {
    ...byReason,
    seen: (count) => {
      metrics.seen(count)
      counted.seen += count
      hasNews ||= count > 0
    },
    eligible: (count, bytes, names) => {
      metrics.eligible(count)
      counted.eligible += count
      if (!dryRun) return
      counted.bytes += bytes
      for (const name of names) {
        if (sample.length >= sampleMax) return
        sample.push(name)
      }
    },
    deleted: (count, bytes) => {
      metrics.deleted(count, bytes)
      counted.deleted += count
      counted.bytes += bytes
      hasNews = true
    },
    unlisted: (what) => {
      unlisted = what
    },
    stoppedBy: (why) => {
      stopped ??= why
    },
    expect: (deletions) => {
      hasNews = true
      expected = deletions
    },
    nextBatch: () => {
      batches += 1
      return batches
    },
    announce: Effect.suspend(() => {
      if (!hasNews) return Effect.void
      hasNews = false
      const { eligible: _, ...done } = counted
      return progress.report({ phase: name, ...done, expected })
    }),
    endedBy: (cause) => {
      error ??= describe(cause)
    },
    report: (durationMillis) => {
      metrics.ended(durationMillis, error)
      return {
        ...emptyPhase,
        ...counted,
        ...reasons(),
        sample,
        ...(unlisted === null ? {} : { unlisted }),
        error,
        stoppedBy: error === null ? stopped : "failure",
        durationMillis
      }
    }
  }
  return counts
})

/** Returns what a report says of an error: its tag and its message, or `Defect` for one that a sweep does not know. */
export const describe = (cause: Cause.Cause<unknown>): PhaseFailure => {
  const error = Cause.squash(cause)
  if (!(error instanceof Error)) return { tag: "Defect", message: String(error) }
  return { tag: "_tag" in error && isKnown(error._tag) ? error._tag : "Defect", message: error.message }
}

const isKnown = Schema.is(SweepErrorTag)
