/**
 * Asks the guards before every sweep: schema, clocks, other collectors, store, in this order. The first that refuses ends
 * the sweep, and nothing is deleted. A guard that gets no answer refuses, too: doubt keeps bytes.
 */
import { Cause, Effect, Result } from "effect"
import { CollectorDatabase } from "../../database/Database.ts"
import type { GuardFinding, PhaseReport, StoreReport, SweepReport } from "../../domain/SweepReport.ts"
import { Storage } from "../../storage/Storage.ts"
import { describe } from "../PhaseCounts.ts"
import type { SweepSettings } from "../Settings.ts"
import { clockGuard } from "./ClockGuard.ts"
import { settingsGuard } from "./SettingsGuard.ts"
import { storeGuard } from "./StoreGuard.ts"

/** What the guards said. */
export interface Verdict {
  readonly findings: ReadonlyArray<GuardFinding>
  /** Null if the store was not asked, or did not answer. */
  readonly store: StoreReport | null
  /** Why no sweep may begin; null if it may. */
  readonly error: PhaseReport["error"]
}

/** Where triggers note some changes and not others, every sweep scans the whole catalogue, and the operator is told why. */
const watchFindings = Effect.gen(function* () {
  const { candidates } = yield* CollectorDatabase
  const { unwatched } = yield* candidates.watch
  return unwatched.length === 0
    ? []
    : [
        `References are watched, but not those of ${unwatched.join(", ")}: every sweep scans the whole catalogue. Run: artifact-gc migrate --watch-references (or --unwatch-references).`
      ]
})

/** Asks the guards until one refuses. `id` is this collector's name. A dry run leaves no trace of it. */
export const judge = Effect.fnUntraced(function* (
  settings: SweepSettings,
  id: string,
  now: number,
  dryRun: boolean
) {
  const database = yield* CollectorDatabase
  const storage = yield* Storage
  const findings: Array<GuardFinding> = []
  let store: StoreReport | null = null
  const storeQuestion = Effect.gen(function* () {
    const traits = yield* storage.traits
    const { deletes, objectLock, versioning } = traits
    store = { deletes, objectLock, versioning }
    return yield* storeGuard(traits)
  })
  const ask = Effect.fnUntraced(function* <E, R>(
    guard: GuardFinding["guard"],
    question: Effect.Effect<ReadonlyArray<string>, E, R>
  ) {
    // Defects are reported like failures: one of them must not end a schedule.
    const answer = yield* Effect.result(Effect.sandbox(question))
    if (Result.isSuccess(answer)) {
      findings.push(...answer.success.map((message) => ({ guard, decision: "allowed", message }) as const))
      return null
    }
    if (Cause.hasInterruptsOnly(answer.failure)) {
      return yield* Effect.failCause(answer.failure as Cause.Cause<never>)
    }
    const error = describe(answer.failure)
    findings.push({ guard, decision: "refused", message: error.message })
    return error
  })
  const error =
    (yield* ask("schema", Effect.andThen(database.inspect, watchFindings))) ??
    (yield* ask("clock", Effect.as(clockGuard(settings), []))) ??
    (yield* ask("settings", settingsGuard(settings, id, now, dryRun))) ??
    (yield* ask("store", storeQuestion))
  return { findings, store, error } satisfies Verdict as Verdict
})

/** Returns the findings of breakers, which the phases ask. */
export const breakerFindings = (phases: SweepReport["phases"]): ReadonlyArray<GuardFinding> =>
  Object.values(phases).flatMap(({ error }) => {
    return error?.tag === "BreakerOpen"
      ? [{ guard: "breaker", decision: "refused", message: error.message } as const]
      : []
  })
