/**
 * Takes suspects out of doubt as soon as their writers have inserted them, beside the sweeps of a running collector. A
 * writer's retry a moment later succeeds, and does not wait for the next sweep (docs/design/unannounced-writers.md).
 */
import { Clock, Duration, Effect, Result } from "effect"
import { CollectorDatabase } from "../database/Database.ts"
import type { PhaseReport } from "../domain/SweepReport.ts"

/**
 * How long a verdict of the guards serves. Verifying deletes rows without objects, so it must not run over a wrong
 * bucket or catalogue, and asking before each would double a writer's wait.
 */
const verdictServes = Duration.minutes(1)

/** Between two tries where a guard refuses or a verification fails: the next sweep reports why. */
const pauseAfterFailure = Duration.seconds(5)

/** Between two tries where a writer is inserting the same digest. */
const pauseWhileBusy = Duration.millis(100)

/** How verification begins. */
export interface Verifying<R> {
  /** Answers with the pause that is in force; null without one. */
  readonly paused: Effect.Effect<unknown, unknown, R>
  /** Answers when the guards let a sweep begin last; null if they never did, or refused since. */
  readonly passedAt: Effect.Effect<number | null>
  /** Asks the guards, and answers whether a sweep may begin. */
  readonly ask: Effect.Effect<boolean, never, R>
  /** Runs the phase of suspects alone, and returns its report. */
  readonly run: Effect.Effect<PhaseReport, never, R>
}

/** Verifies suspects whenever some arrive, until it is interrupted. Never fails. */
export const forever = Effect.fnUntraced(function* <R>({ ask, passedAt, paused, run }: Verifying<R>) {
  const { suspects } = yield* CollectorDatabase
  const mayRun = Effect.gen(function* () {
    // A pause must hold at once, and one row is read for it.
    if ((yield* Effect.catchCause(paused, () => Effect.succeed("unknown"))) !== null) return false
    const at = yield* passedAt
    const now = yield* Clock.currentTimeMillis
    return at !== null && now - at < Duration.toMillis(verdictServes) ? true : yield* ask
  })
  let seen: string | null = null
  while (true) {
    const arrived: Result.Result<string, unknown> = yield* Effect.result(suspects.arrival(seen))
    if (Result.isFailure(arrived) || !(yield* mayRun)) {
      yield* Effect.sleep(pauseAfterFailure)
      continue
    }
    const report = yield* run
    if ((report.kept.busy ?? 0) > 0 || (report.kept.superseded ?? 0) > 0) {
      yield* Effect.sleep(pauseWhileBusy)
      continue
    }
    // What failed is left to the next sweep, which reports it.
    seen = arrived.success
  }
})
