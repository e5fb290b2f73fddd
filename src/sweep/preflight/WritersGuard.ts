/**
 * The writers guard. Beside a catalogue that existed before the collector, an operator says whether writers share it that
 * do not announce their uploads. No row shows which writer inserted it, and a wrong guess loses bytes
 * (docs/design/unannounced-writers.md).
 */
import { Effect } from "effect"
import { CollectorDatabase, type Installation } from "../../database/Database.ts"
import { WritersRefused } from "../../domain/Refusals.ts"
import type { SweepSettings } from "../Settings.ts"
import type { GuardContext } from "./Guard.ts"

/**
 * Fails with `WritersRefused` where the operator has not answered, or answered `guarded` without triggers. A dry run
 * deletes nothing, so it returns the same words as a finding.
 */
export const writersGuard = Effect.fnUntraced(function* ({ dryRun, settings }: GuardContext) {
  const { refusal, finding } = verdictOf(
    settings.unannouncedWriters,
    yield* (yield* CollectorDatabase).installation
  )
  if (refusal === null) return finding === null ? [] : [finding]
  const refused = new WritersRefused({ reason: refusal })
  return dryRun ? [`A sweep would refuse: ${refused.message}`] : yield* refused
})

/** Returns what an answer means for this installation. Triggers that are installed are an answer, too. */
export const verdictOf = (
  answer: SweepSettings["unannouncedWriters"],
  { catalogueExisted, unannouncedWritersGuarded }: Installation
): { readonly refusal: WritersRefused["reason"] | null; readonly finding: string | null } => {
  if (answer === "guarded") return { refusal: unannouncedWritersGuarded ? null : "unguarded", finding: null }
  if (!unannouncedWritersGuarded) {
    return { refusal: answer === null && catalogueExisted ? "unsaid" : null, finding: null }
  }
  if (answer === "none") return { refusal: null, finding: contradiction }
  return { refusal: null, finding: catalogueExisted ? unnamed : null }
}

const contradiction =
  "GC_UNANNOUNCED_WRITERS is none, but the triggers against unannounced writers are installed. They stay in force and are obeyed. Set GC_UNANNOUNCED_WRITERS=guarded, or run: artifact-gc migrate --unguard-unannounced-writers."

const unnamed =
  "The triggers against unannounced writers are installed, and GC_UNANNOUNCED_WRITERS is not set. Set it to guarded, so that sweeps refuse if the triggers are ever removed."
