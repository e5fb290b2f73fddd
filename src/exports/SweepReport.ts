/** The module `SweepReport` of `artifact-gc`. */

export type { FailedPhase, Refusal, SweepError } from "../domain/SweepReport.ts"
export {
  errorsOf,
  GuardFinding,
  isRefusal,
  Left,
  PhaseFailure,
  PhaseReport,
  StoppedBy,
  StoreReport,
  SweepErrorTag,
  SweepReport
} from "../domain/SweepReport.ts"
