/** Sweeps a registry by retention rules in one process, as a service does: new rules, idle, after pushes. */
import { Clock, Duration, Effect, Layer, ManagedRuntime, Option, Redacted, Result, Tracer } from "effect"
import { CollectorDatabase } from "../../../src/database/Database.ts"
import * as Postgres from "../../../src/database/Postgres.ts"
import { defaultNames } from "../../../src/domain/CatalogNames.ts"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import * as RegistryPostgres from "../../../src/oci/database/Postgres.ts"
import { manifests } from "../../../src/oci/phases/Manifests.ts"
import { retention } from "../../../src/oci/phases/Retention.ts"
import { parse, Retention } from "../../../src/oci/retention/RetentionRules.ts"
import { keepHeapSmall } from "../../../src/platform/heap.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import { withConnection } from "../harness/Postgres.ts"
import { ensure } from "../harness/Question.ts"
import { runVariant } from "../harness/Variant.ts"

/** Describes the work. */
export interface RetentionTask {
  readonly databaseUrl: string
  /** The rules, as JSON. */
  readonly rules: string
  /** SQL that pushes, run before the sweep after pushes. */
  readonly push: ReadonlyArray<string>
}

/** What sweeps of one kind took. */
export interface Swept {
  readonly name: string
  /** How many sweeps there were. */
  readonly sweeps: number
  /** Time of the two phases, of the longest sweep. */
  readonly millis: number
  /** Time that statements took, as this process saw it, in all sweeps. */
  readonly databaseMillis: number
  readonly statements: number
  readonly slowestMillis: number
  /** The statement that took longest. */
  readonly slowest: string
  readonly seen: number
  readonly eligible: number
  /** Resident memory after them. */
  readonly rssBytes: number
}

/** Reports the work. */
export interface RetentionOutcome {
  readonly swept: ReadonlyArray<Swept>
}

/** Returns the time and the text of a statement. */
const statementOf = ({ attributes, status }: Tracer.NativeSpan) => {
  const text = attributes.get("db.query.text")
  if (typeof text !== "string" || status._tag !== "Ended") return []
  return { text, millis: Number(status.endTime - status.startTime) / 1e6 }
}

/** A store that has every object, so that the guard of the binding lets sweeps begin. */
const store = Layer.effect(
  Storage,
  Effect.map(Storage, (storage) => ({
    ...storage,
    head: (key: ObjectKey) =>
      Effect.map(Clock.currentTimeMillis, (modifiedAt) => Option.some({ key, sizeBytes: 1000, modifiedAt }))
  }))
).pipe(Layer.provide(MemoryStorage.layer))

const nothing = {
  millis: 0,
  databaseMillis: 0,
  statements: 0,
  slowestMillis: 0,
  slowest: "",
  seen: 0,
  eligible: 0
}

keepHeapSmall()

await runVariant<RetentionTask, RetentionOutcome>(async ({ databaseUrl, push, rules }) => {
  const parsed = Result.getOrThrow(parse(rules))
  const layer = Sweep.layer({ phases: [retention, manifests], presence: Duration.weeks(500) }).pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        Postgres.layer(defaultNames, { extensions: [RegistryPostgres.registrySchema] }),
        RegistryPostgres.layer(defaultNames)
      ).pipe(Layer.provide(Postgres.layerClient({ url: Redacted.make(databaseUrl) })))
    ),
    Layer.provideMerge(store)
  )
  const runtime = ManagedRuntime.make(layer)
  const once = (dryRun: boolean) =>
    Effect.gen(function* () {
      const spans: Array<Tracer.NativeSpan> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          if (!span.name.startsWith("Database.")) spans.push(span)
          return span
        }
      })
      const report = yield* Effect.flatMap(Sweep, (sweep) => sweep.once({ dryRun })).pipe(
        Effect.provideService(Retention, Effect.succeed(parsed)),
        Effect.provideService(Tracer.Tracer, tracer)
      )
      return { report, statements: spans.flatMap(statementOf) }
    })
  const swept = async (
    name: string,
    sweeps: number,
    isLast: (eligible: number) => boolean,
    dryRun = false
  ): Promise<Swept> => {
    const sum = { ...nothing }
    let done = 0
    for (let isDone = false; done < sweeps && !isDone; done++) {
      const { report, statements } = await runtime.runPromise(once(dryRun))
      const phase = report.phases.retention
      const refused = report.guards.filter(({ decision, guard }) => decision === "refused" && guard !== "breaker")
      ensure(refused.length === 0, `the sweep was refused: ${JSON.stringify(refused)}`)
      const took = (phase?.durationMillis ?? 0) + (report.phases.manifests?.durationMillis ?? 0)
      sum.millis = Math.max(sum.millis, took)
      for (const { millis, text } of statements) {
        sum.databaseMillis += millis
        sum.statements += 1
        if (millis <= sum.slowestMillis) continue
        sum.slowestMillis = millis
        sum.slowest = text
      }
      sum.seen += phase?.seen ?? 0
      sum.eligible += phase?.eligible ?? 0
      isDone = isLast(phase?.eligible ?? 0)
    }
    return { name, sweeps: done, ...sum, rssBytes: process.memoryUsage.rss() }
  }
  const confirm = Effect.flatMap(CollectorDatabase, ({ breakers }) => breakers.confirm(Date.now()))
  return {
    run: async () => {
      const steps = [
        await swept("dry run", 1, () => true, true),
        await swept("new rules, which ask", 1, () => true)
      ]
      await runtime.runPromise(confirm)
      steps.push(await swept("confirmed rules, which remove", 50, (eligible) => eligible === 0))
      steps.push(await swept("idle", 10, () => false))
      await withConnection(databaseUrl, async (connection) => {
        for (const statement of push) await connection.query(statement)
      })
      steps.push(await swept("after pushes", 1, () => true))
      return { swept: steps }
    },
    close: () => runtime.dispose()
  }
})
