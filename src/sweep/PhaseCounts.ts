/**
 * The growing report of one phase. Updated once per batch by whichever fibre finished it; single-threaded code makes
 * each update atomic.
 */
import { Cause, Clock, Effect, Result } from "effect"
import { emptyPhase, type PhaseName, type PhaseReport, type StoppedBy } from "../domain/SweepReport.ts"
import { Progress } from "./Progress.ts"

/** A dry run names this many candidates of a phase. */
const sampleMax = 20

export interface Tally {
  readonly seen: (count: number) => void
  /** `names` are kept, a few of them, in a dry run. */
  readonly eligible: (count: number, bytes: number, names: Iterable<string>) => void
  readonly deleted: (count: number, bytes: number) => void
  readonly kept: (reason: string, count: number) => void
  readonly failed: (reason: string, count: number) => void
  readonly stoppedBy: (why: StoppedBy) => void
  readonly expect: (deletions: number) => void
  /** Tells whoever watches how far the phase has come. */
  readonly announce: Effect.Effect<void>
}

const add = (counts: Record<string, number>, reason: string, count: number): void => {
  if (count > 0) counts[reason] = (counts[reason] ?? 0) + count
}

/**
 * Runs a phase and answers its report. A failure or a defect ends the phase and is reported; interruption is passed
 * on.
 */
export const phase = <E, R>(
  name: PhaseName,
  dryRun: boolean,
  run: (tally: Tally) => Effect.Effect<void, E, R>
): Effect.Effect<PhaseReport, never, R> =>
  Effect.gen(function* () {
    const progress = yield* Progress
    const startedAt = yield* Clock.currentTimeMillis
    const counted = { seen: 0, eligible: 0, deleted: 0, bytes: 0 }
    const kept: Record<string, number> = {}
    const failed: Record<string, number> = {}
    const sample: Array<string> = []
    let stopped = null as StoppedBy | null
    let expected: number | null = null
    const tally: Tally = {
      seen: (count) => {
        counted.seen += count
      },
      eligible: (count, bytes, names) => {
        counted.eligible += count
        if (!dryRun) return
        counted.bytes += bytes
        for (const name of names) {
          if (sample.length >= sampleMax) return
          sample.push(name)
        }
      },
      deleted: (count, bytes) => {
        counted.deleted += count
        counted.bytes += bytes
      },
      kept: (reason, count) => add(kept, reason, count),
      failed: (reason, count) => add(failed, reason, count),
      stoppedBy: (why) => {
        stopped ??= why
      },
      expect: (deletions) => {
        expected = deletions
      },
      announce: Effect.suspend(() =>
        progress.report({
          phase: name,
          seen: counted.seen,
          deleted: counted.deleted,
          bytes: counted.bytes,
          expected
        })
      )
    }
    const outcome = yield* Effect.result(Effect.sandbox(run(tally)))
    if (Result.isFailure(outcome) && Cause.hasInterruptsOnly(outcome.failure)) {
      return yield* Effect.failCause(outcome.failure as Cause.Cause<never>)
    }
    const error = Result.isFailure(outcome) ? describe(outcome.failure) : null
    return {
      ...emptyPhase,
      ...counted,
      kept,
      failed,
      sample,
      error,
      stoppedBy: error === null ? stopped : "failure",
      durationMillis: (yield* Clock.currentTimeMillis) - startedAt
    }
  }).pipe(Effect.withSpan(`Sweep.${name}`))

/** What a report says of an error. */
export const describe = <E>(cause: Cause.Cause<E>): { readonly tag: string; readonly message: string } => {
  const error = Cause.squash(cause)
  if (!(error instanceof Error)) return { tag: "Defect", message: String(error) }
  const tag = "_tag" in error && typeof error._tag === "string" ? error._tag : "Defect"
  return { tag, message: error.message }
}
