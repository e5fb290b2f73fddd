/** A sweep with default settings, or with a ceiling, that goes on until it is told to stop. */
import { Effect } from "effect"
import { keepHeapSmall } from "../../../src/platform/heap.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { compete } from "../harness/Contender.ts"
import { insist } from "../harness/Question.ts"
import { prepared } from "../sweep/Runtime.ts"
import type { Task } from "../sweep/Task.ts"

export interface SweeperTask extends Task {
  /** GC_KEYS_PER_SECOND; null for none. */
  readonly keysPerSecond: number | null
}

export interface SweeperOutcome {
  readonly deleted: number
}

keepHeapSmall()

await compete<SweeperTask, SweeperOutcome>(async (task) => {
  const ceiling: Record<string, string> =
    task.keysPerSecond === null ? {} : { GC_KEYS_PER_SECOND: String(task.keysPerSecond) }
  const runtime = await prepared(task, ceiling)
  return {
    run: async (stopping) => {
      const sweeping = Effect.flatMap(Sweep, (sweep) => sweep.once({ stopping: Effect.sync(stopping) }))
      const report = await runtime.runPromise(sweeping)
      insist(
        report.outcome === "complete" || report.outcome === "bounded",
        `the sweep went wrong: ${JSON.stringify(report)}`
      )
      return { deleted: report.totals.deleted }
    },
    close: () => runtime.dispose()
  }
})
