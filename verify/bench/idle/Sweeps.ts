/** Sweeps repeatedly in one process, as a service does. */
import { ConfigProvider, Effect, ManagedRuntime, Tracer } from "effect"
import * as Services from "../../../src/cli/Services.ts"
import { load } from "../../../src/config/Config.ts"
import { keepHeapSmall } from "../../../src/platform/heap.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { ensure } from "../harness/Question.ts"
import type { S3Server } from "../harness/Servers.ts"
import { runVariant } from "../harness/Variant.ts"

/** Describes the work. */
export interface SweepsTask {
  readonly databaseUrl: string
  readonly s3: S3Server
  readonly sweeps: number
}

/** Reports the work. */
export interface SweepsOutcome {
  /** Duration of each sweep. */
  readonly millis: ReadonlyArray<number>
  /** Number of blobs, candidates and sightings that each sweep checked. */
  readonly seen: ReadonlyArray<number>
  /** What one more sweep asked the database. It is not timed. */
  readonly asked: { readonly verbs: number; readonly statements: number; readonly transactions: number }
}

keepHeapSmall()

await runVariant<SweepsTask, SweepsOutcome>(async ({ databaseUrl, s3, sweeps }) => {
  const environment = {
    DATABASE_URL: databaseUrl,
    S3_ENDPOINT: s3.endpoint,
    S3_REGION: s3.region,
    S3_BUCKET: s3.bucket,
    S3_ACCESS_KEY_ID: s3.accessKeyId,
    S3_SECRET_ACCESS_KEY: s3.secretAccessKey
  }
  const configuration = await Effect.runPromise(
    Effect.provide(load, ConfigProvider.layer(ConfigProvider.fromEnvRecord(environment)))
  )
  const runtime = ManagedRuntime.make(Services.layer(configuration))
  const sweep = Effect.flatMap(Sweep, (sweep) => sweep.once())
  const once = () => runtime.runPromise(sweep)
  /** Counts spans: each verb, each statement and each transaction has one. */
  const asking = async () => {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    await runtime.runPromise(Effect.provideService(sweep, Tracer.Tracer, tracer))
    return {
      verbs: spans.filter(({ name }) => name.startsWith("Database.")).length,
      statements: spans.filter(({ attributes }) => attributes.has("db.query.text")).length,
      transactions: spans.filter(({ name }) => name === "sql.transaction").length
    }
  }
  return {
    run: async () => {
      const millis: Array<number> = []
      const seen: Array<number> = []
      for (let n = 0; n < sweeps; n++) {
        const began = performance.now()
        const report = await once()
        millis.push(performance.now() - began)
        seen.push(report.phases.orphans.seen)
        ensure(report.outcome === "complete", `the sweep was not complete: ${JSON.stringify(report)}`)
      }
      return { millis, seen, asked: await asking() }
    },
    close: () => runtime.dispose()
  }
})
