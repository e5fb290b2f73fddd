/** The sweep itself: `Sweep.once` on the layers, and with the settings and the heap, that the binary has. */
import { ConfigProvider, Effect, ManagedRuntime } from "effect"
import { load } from "../../src/Config.ts"
import { Database } from "../../src/database/Database.ts"
import * as Live from "../../src/Live.ts"
import { keepHeapSmall } from "../../src/platform/heap.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Progress } from "../../src/sweep/Progress.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { compete } from "../harness/Contender.ts"
import { insist } from "../harness/Question.ts"
import { listening, recorder } from "../harness/Recorder.ts"
import type { Outcome, Task } from "./Task.ts"

keepHeapSmall()

const environment = (task: Task): Record<string, string> => ({
  DATABASE_URL: task.databaseUrl,
  S3_ENDPOINT: task.s3.endpoint,
  S3_REGION: task.s3.region,
  S3_BUCKET: task.s3.bucket,
  S3_ACCESS_KEY_ID: task.s3.accessKeyId,
  S3_SECRET_ACCESS_KEY: task.s3.secretAccessKey,
  GC_UPLOAD_PREFIX: `${task.prefix}uploads/`,
  // Where nothing is: what a search for leftovers costs is another question.
  GC_BLOB_PREFIX: `${task.prefix}leftovers/`,
  // Half of the data set is garbage, on purpose.
  GC_BREAKER_PERCENT: "100",
  GC_SCAN_PAGE: String(task.scanPage),
  GC_BATCH: String(task.batch),
  GC_DELETE_CONCURRENCY: String(task.concurrency),
  GC_SWEEP_MAX_DELETES: String(task.maxDeletes)
})

await compete<Task, Outcome>(async (task) => {
  const configuration = await Effect.runPromise(
    Effect.provide(load, ConfigProvider.layer(ConfigProvider.fromEnvRecord(environment(task))))
  )
  const runtime = ManagedRuntime.make(Live.layer(configuration))
  // As the command does before it sweeps; it also opens the first connections.
  await runtime.runPromise(
    Effect.gen(function* () {
      yield* (yield* Storage).probe
      yield* (yield* Database).inspect
    })
  )
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
      task.records ? Effect.withTracer(watching, listening({ executed, statements })) : watching
    )
    insist(report.outcome === "complete", `the sweep was not complete: ${JSON.stringify(report)}`)
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
