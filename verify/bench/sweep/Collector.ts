/** The sweep: `Sweep.once` with the layers, the settings and the heap of the binary. */
import { Effect } from "effect"
import { keepHeapSmall } from "../../../src/platform/heap.ts"
import { Progress } from "../../../src/sweep/Progress.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { ensure } from "../harness/Question.ts"
import { recorder, recordingTracer } from "../harness/Recorder.ts"
import { runVariant } from "../harness/Variant.ts"
import { prepared } from "./Runtime.ts"
import type { Outcome, Task } from "./Task.ts"

keepHeapSmall()

await runVariant<Task, Outcome>(async (task) => {
  const runtime = await prepared(task)
  const { executed, statements } = recorder(task.records)
  const run = async (): Promise<Outcome> => {
    const began = performance.now()
    let lastOfScan = began
    const watching = Effect.provideService(
      Effect.flatMap(Sweep, (sweep) => sweep.once()),
      Progress,
      {
        watched: false,
        report: ({ phase, deleted }) =>
          Effect.sync(() => {
            if (phase === "orphans" && deleted === 0) lastOfScan = performance.now()
          })
      }
    )
    const report = await runtime.runPromise(
      task.records ? Effect.withTracer(watching, recordingTracer({ executed, statements })) : watching
    )
    ensure(report.outcome === "complete", `the sweep was not complete: ${JSON.stringify(report)}`)
    const scanMillis = lastOfScan - began
    return {
      deleted: report.phases.orphans.deleted,
      scanMillis,
      purgeMillis: report.phases.orphans.durationMillis - scanMillis,
      statements
    }
  }
  return { run, close: () => runtime.dispose() }
})
