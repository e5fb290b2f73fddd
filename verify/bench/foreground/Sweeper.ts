/** A sweep with default settings or with a ceiling, which runs until it is asked to stop. */
import { Effect } from "effect"
import { keepHeapSmall } from "../../../src/platform/heap.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { ensure } from "../harness/Question.ts"
import { runVariant } from "../harness/Variant.ts"
import { prepared } from "../sweep/Runtime.ts"
import type { Task } from "../sweep/Task.ts"

/** Describes the sweep. */
export interface SweeperTask extends Task {
  /** GC_KEYS_PER_SECOND, or null for no ceiling. */
  readonly keysPerSecond: number | null
}

/** Reports the sweep. */
export interface SweeperOutcome {
  readonly deleted: number
}

keepHeapSmall()

await runVariant<SweeperTask, SweeperOutcome>(async (task) => {
  const ceiling: Record<string, string> =
    task.keysPerSecond === null ? {} : { GC_KEYS_PER_SECOND: String(task.keysPerSecond) }
  const runtime = await prepared(task, ceiling)
  return {
    run: async (stopping) => {
      const sweeping = Effect.flatMap(Sweep, (sweep) => sweep.once({ stopping: Effect.sync(stopping) }))
      const report = await runtime.runPromise(sweeping)
      ensure(
        report.outcome === "complete" || report.outcome === "bounded",
        `the sweep failed: ${JSON.stringify(report)}`
      )
      return { deleted: report.totals.deleted }
    },
    close: () => runtime.dispose()
  }
})
