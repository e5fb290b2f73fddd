/** `artifact-gc sweep`: sweeps once and prints the report. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { CollectorDatabase } from "../database/Database.ts"
import type { SweepReport } from "../domain/SweepReport.ts"
import { keepHeapSmall } from "../platform/heap.ts"
import { Storage } from "../storage/Storage.ts"
import { Sweep, type SweepOptions } from "../sweep/Sweep.ts"
import { configuration, sweepFlags, withServices } from "./Configured.ts"
import { Ended, type ExitCode } from "./ExitCode.ts"
import * as Print from "./Print.ts"
import * as ProgressLine from "./ProgressLine.ts"
import { graceful } from "./Shutdown.ts"
import * as Text from "./Text.ts"

/** Defines the flag that chooses JSON for the result. */
export const jsonFlag = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON on stdout instead of text"),
  Flag.withDefault(false)
)

/** Defines the command `artifact-gc sweep`. */
export const command = Command.make(
  "sweep",
  {
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Print what a sweep would delete now, by the same query. Delete nothing"),
      Flag.withDefault(false)
    ),
    evenIfPaused: Flag.Boolean("even-if-paused").pipe(
      Flag.withDescription("Sweep although the catalogue is paused. Other collectors stay paused"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    ...sweepFlags
  },
  Effect.fnUntraced(function* ({ dryRun, evenIfPaused, json, ...given }) {
    const config = yield* configuration(given)
    yield* Effect.sync(keepHeapSmall)
    const report = yield* withServices(
      config,
      graceful(config.shutdownDeadline, (stop) =>
        // Printed inside the work, so that an interrupted sweep shows its progress too.
        Effect.tap(once(stop, { dryRun, evenIfPaused }), (report) =>
          json ? Print.json(report) : Print.text(Text.report(report))
        )
      )
    )
    const code = codeOf(report)
    if (code !== 0) return yield* new Ended({ code })
  })
).pipe(
  Command.withDescription("Collect garbage once and print a report"),
  Command.withShortDescription("Collect garbage once and print a report"),
  Command.withExamples([
    {
      command: "artifact-gc sweep --dry-run",
      description: "See what a sweep would delete. Nothing is deleted"
    },
    { command: "artifact-gc sweep --gc-sweep-max-deletes=1000", description: "Delete at most 1000 objects" },
    { command: "artifact-gc sweep --json | jq .totals", description: "For a script" }
  ])
)

const once = Effect.fnUntraced(function* (
  stop: Effect.Effect<void>,
  options: Pick<SweepOptions, "dryRun" | "evenIfPaused">
) {
  const sweep = yield* Sweep
  // A store or catalogue that makes every phase impossible must be one error, not one per phase.
  yield* (yield* Storage).probe
  yield* (yield* CollectorDatabase).inspect
  let stopping = false
  yield* Effect.forkChild(
    Effect.andThen(
      stop,
      Effect.sync(() => {
        stopping = true
      })
    )
  )
  return yield* Effect.provide(
    sweep.once({ ...options, stopping: Effect.sync(() => stopping) }),
    ProgressLine.layer
  )
})

/** Tags of the refusals that end with `breaker --confirm`. */
const waitsForConfirmation: ReadonlySet<string> = new Set(["BreakerOpen", "AgeRefused"])

/** Returns the exit code of a sweep with this report. */
export const codeOf = (report: SweepReport): ExitCode => {
  switch (report.outcome) {
    case "refused":
      return Object.values(report.phases).some(
        ({ error }) => error !== null && waitsForConfirmation.has(error.tag)
      )
        ? 6
        : 4
    case "failed":
      // A guard got no answer: no phase began, so nothing was partly done.
      return report.guards.some(({ decision, guard }) => decision === "refused" && guard !== "breaker")
        ? 5
        : 3
    default:
      return 0
  }
}
