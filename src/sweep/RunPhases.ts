/** Runs phases one after the other. A phase that fails or defects is reported, and those behind it run. */
import { Cause, Clock, Effect, Exit } from "effect"
import { emptyPhase, type PhaseReport, type SweepReport } from "../domain/SweepReport.ts"
import type { Phase } from "./Phase.ts"
import * as PhaseContext from "./PhaseContext.ts"
import * as PhaseCounts from "./PhaseCounts.ts"

/** The names of `phases` in the order in which they run, each once. */
const namesOf = <R>(phases: ReadonlyArray<Phase<R>>): ReadonlyArray<string> => [
  ...new Set(phases.map(({ name }) => name))
]

/** A span's place in the source would be this file, and takes as long to find as an idle phase. */
const withoutPlace = { captureStackTrace: false } as const

/**
 * Runs all phases within the bounds of `sweep` and returns their reports by name. Passes interruption on. `failed` hears of
 * each that failed before the next begins.
 */
export const run = Effect.fnUntraced(function* <R>(
  phases: ReadonlyArray<Phase<R>>,
  sweep: PhaseContext.SweepContext,
  failed: (phase: string, message: string) => void = () => {}
) {
  const reports: Record<string, PhaseReport> = {}
  const caller = yield* Effect.context<never>()
  for (const name of namesOf(phases)) {
    const group = phases.filter((phase) => phase.name === name)
    const counts = PhaseCounts.make(name, sweep.dryRun, caller)
    const report = yield* runGroup(group, sweep, counts).pipe(
      Effect.withSpan(`Sweep.${name}`, { attributes: { sweep: sweep.sweep, phase: name } }, withoutPlace),
      Effect.annotateLogs({ phase: name })
    )
    if (report.error !== null) failed(name, report.error.message)
    reports[name] = report
  }
  return reports as SweepReport["phases"]
})

/** Runs the phases of one name into one report. */
const runGroup = Effect.fnUntraced(function* <R>(
  phases: ReadonlyArray<Phase<R>>,
  sweep: PhaseContext.SweepContext,
  counts: PhaseCounts.PhaseCounts
) {
  const startedAt = yield* Clock.currentTimeMillis
  const timeShare = Math.max(...phases.map((phase) => phase.timeShare))
  const context = PhaseContext.make(sweep, sweep.bounds.share(timeShare, startedAt), counts)
  for (const phase of phases) {
    const exit = yield* Effect.exit(phase.run(context))
    if (Exit.isSuccess(exit)) continue
    if (Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.failCause(exit.cause as Cause.Cause<never>)
    counts.endedBy(exit.cause)
  }
  return counts.report((yield* Clock.currentTimeMillis) - startedAt)
})

/** Returns the reports of phases that a guard did not let run. */
export const refused = <R>(phases: ReadonlyArray<Phase<R>>, error: NonNullable<PhaseReport["error"]>) =>
  Object.fromEntries(
    namesOf(phases).map((name): [string, PhaseReport] => [
      name,
      { ...emptyPhase, stoppedBy: "failure", error }
    ])
  ) as SweepReport["phases"]
