/**
 * Asks the guards before every sweep, in the order of their list. The first that refuses ends the sweep, and nothing is
 * deleted. A guard that gets no answer refuses, too: doubt keeps bytes.
 */
import { Cause, Effect, Exit } from "effect"
import type { LostTime, Orders } from "../../database/Database.ts"
import type { SweepErrorTag } from "../../domain/SweepError.ts"
import type { GuardFinding, PhaseReport, StoreReport, SweepReport } from "../../domain/SweepReport.ts"
import { describe } from "../PhaseCounts.ts"
import { ageGuard } from "./AgeGuard.ts"
import { bindingGuard } from "./BindingGuard.ts"
import { clockGuard } from "./ClockGuard.ts"
import type { Guard, GuardContext } from "./Guard.ts"
import { keysGuard } from "./KeysGuard.ts"
import { pauseGuard } from "./PauseGuard.ts"
import { referencesGuard } from "./ReferencesGuard.ts"
import { schemaGuard } from "./SchemaGuard.ts"
import { settingsGuard } from "./SettingsGuard.ts"
import { storeGuard } from "./StoreGuard.ts"
import { writersGuard } from "./WritersGuard.ts"

/** What the guards said. */
export interface Verdict {
  readonly findings: ReadonlyArray<GuardFinding>
  /** Null if the store was not asked, or did not answer. */
  readonly store: StoreReport | null
  /** A time of which the database may have forgotten what was written; null without one. */
  readonly lost: LostTime | null
  /** What operators ordered; null if the database did not say. */
  readonly orders: Orders | null
  /** Why no sweep may begin; null if it may. */
  readonly error: PhaseReport["error"]
}

/** The guards, in the order in which they are asked. */
const guards: ReadonlyArray<Guard> = [
  { name: "schema", ask: schemaGuard },
  // Before this collector registers: while it is paused, none needs to agree with it.
  { name: "pause", ask: pauseGuard },
  { name: "writers", ask: writersGuard },
  { name: "clock", ask: clockGuard },
  { name: "settings", ask: settingsGuard },
  { name: "binding", ask: bindingGuard },
  // After the binding: another catalogue has other foreign keys, and is told by its name.
  { name: "references", ask: referencesGuard },
  { name: "store", ask: storeGuard },
  { name: "binding", ask: keysGuard },
  // Last, because it records that a sweep begins.
  { name: "age", ask: ageGuard }
]

/** Asks the guards until one refuses. A dry run leaves no trace of this collector. */
export const judge = Effect.fnUntraced(function* (
  sweep: Omit<GuardContext, "tellStore" | "tellLost" | "tellOrders">
) {
  const findings: Array<GuardFinding> = []
  let store: StoreReport | null = null
  let lost: LostTime | null = null
  let orders: Orders | null = null
  const context: GuardContext = {
    ...sweep,
    tellStore: (report) => {
      store = report
    },
    tellOrders: (found) => {
      orders = found
    },
    tellLost: (time) => {
      lost = time
    }
  }
  for (const { ask, name } of guards) {
    // Defects are reported like failures: one of them must not end a schedule.
    const answer = yield* Effect.exit(ask(context))
    if (Exit.isSuccess(answer)) {
      for (const message of answer.value) findings.push({ guard: name, decision: "allowed", message })
      continue
    }
    if (Cause.hasInterruptsOnly(answer.cause)) {
      return yield* Effect.failCause(answer.cause as Cause.Cause<never>)
    }
    const error = describe(answer.cause)
    findings.push({ guard: name, decision: "refused", message: error.message })
    return { findings, store, lost, orders, error } satisfies Verdict as Verdict
  }
  return { findings, store, lost, orders, error: null } satisfies Verdict as Verdict
})

/** The guards that phases ask, by the tags of their refusals. */
const guardsOfPhases: Partial<Record<SweepErrorTag, GuardFinding["guard"]>> = {
  AgeRefused: "age",
  BreakerOpen: "breaker"
}

/** Returns the findings of breakers, which the phases ask. */
export const breakerFindings = (phases: SweepReport["phases"]): ReadonlyArray<GuardFinding> =>
  Object.values(phases).flatMap(({ error }): ReadonlyArray<GuardFinding> => {
    const guard = error === null ? undefined : guardsOfPhases[error.tag]
    return error === null || guard === undefined
      ? []
      : [{ guard, decision: "refused", message: error.message }]
  })
