/**
 * The module `Status` of `artifact-gc`: the state of all collectors of a catalogue. `artifact-gc status --json` prints it,
 * and the page for operators shows it.
 */

export { type ReadOptions, read } from "../status/Read.ts"
export {
  Advice,
  BreakerStatus,
  CollectorState,
  EndedSweep,
  LastAudit,
  OverrideStatus,
  PauseStatus,
  PhaseProgress,
  Queue,
  queueNames,
  RunningSweep,
  Severity,
  Status
} from "../status/Status.ts"
