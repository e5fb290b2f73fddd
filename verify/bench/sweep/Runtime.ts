/** The services of a measured collector, configured by environment variables as the binary is. */
import { ConfigProvider, Effect, ManagedRuntime } from "effect"
import * as Services from "../../../src/cli/Services.ts"
import { load } from "../../../src/config/Config.ts"
import { CollectorDatabase } from "../../../src/database/Database.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import type { Task } from "./Task.ts"

/** Environment variables. */
export type Environment = Readonly<Record<string, string>>

const environment = (task: Task): Environment => ({
  DATABASE_URL: task.databaseUrl,
  S3_ENDPOINT: task.s3.endpoint,
  S3_REGION: task.s3.region,
  S3_BUCKET: task.s3.bucket,
  S3_ACCESS_KEY_ID: task.s3.accessKeyId,
  S3_SECRET_ACCESS_KEY: task.s3.secretAccessKey,
  GC_UPLOAD_PREFIX: `${task.prefix}uploads/`,
  // A prefix without objects: the cost of a search for leftovers is another question.
  GC_BLOB_PREFIX: `${task.prefix}leftovers/`,
  // Half of the data set is garbage, which would trip the breaker.
  GC_BREAKER_PERCENT: "100",
  GC_SCAN_PAGE: String(task.scanPage),
  GC_BATCH: String(task.batch),
  GC_DELETE_CONCURRENCY: String(task.concurrency),
  GC_SWEEP_MAX_DELETES: String(task.maxDeletes)
})

/** Connects and inspects the servers, as the commands do before a sweep. `more` adds variables. */
export const prepared = async (task: Task, more: Environment = {}) => {
  const variables = { ...environment(task), ...more }
  const configuration = await Effect.runPromise(
    Effect.provide(load, ConfigProvider.layer(ConfigProvider.fromEnvRecord(variables)))
  )
  const runtime = ManagedRuntime.make(Services.layer(configuration))
  await runtime.runPromise(
    Effect.gen(function* () {
      yield* (yield* Storage).probe
      yield* (yield* CollectorDatabase).inspect
    })
  )
  return runtime
}
