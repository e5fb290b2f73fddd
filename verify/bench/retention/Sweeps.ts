/** Sweeps a registry by retention rules in one process, as a service does: new rules, idle, after pushes. */
import {
  Clock,
  Duration,
  Effect,
  type Exit,
  Layer,
  ManagedRuntime,
  Option,
  Redacted,
  Result,
  Tracer
} from "effect"
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

/** Sees the statements of one sweep as they end, and keeps none of them. */
class Timed extends Tracer.NativeSpan {
  readonly #into: Sum
  constructor(options: ConstructorParameters<typeof Tracer.NativeSpan>[0], into: Sum) {
    super(options)
    this.#into = into
  }
  override end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    super.end(endTime, exit)
    const text = this.attributes.get("db.query.text")
    if (typeof text !== "string" || this.name.startsWith("Database.")) return
    const millis = Number(endTime - this.status.startTime) / 1e6
    this.#into.databaseMillis += millis
    this.#into.statements += 1
    if (millis <= this.#into.slowestMillis) return
    this.#into.slowestMillis = millis
    this.#into.slowest = text
  }
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

type Sum = { -readonly [Name in keyof Omit<Swept, "name" | "sweeps" | "rssBytes">]: Swept[Name] }

const nothing: Sum = {
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
  const once = (dryRun: boolean, sum: Sum) => {
    const tracer = Tracer.make({ span: (options) => new Timed(options, sum) })
    return Effect.flatMap(Sweep, (sweep) => sweep.once({ dryRun })).pipe(
      Effect.provideService(Retention, Effect.succeed(parsed)),
      Effect.provideService(Tracer.Tracer, tracer)
    )
  }
  const swept = async (
    name: string,
    sweeps: number,
    isLast: (eligible: number) => boolean,
    dryRun = false
  ): Promise<Swept> => {
    const sum: Sum = { ...nothing }
    let done = 0
    for (let isDone = false; done < sweeps && !isDone; done++) {
      const report = await runtime.runPromise(once(dryRun, sum))
      const phase = report.phases.retention
      const refused = report.guards.filter(
        ({ decision, guard }) => decision === "refused" && guard !== "breaker"
      )
      ensure(refused.length === 0, `the sweep was refused: ${JSON.stringify(refused)}`)
      const took = (phase?.durationMillis ?? 0) + (report.phases.manifests?.durationMillis ?? 0)
      sum.millis = Math.max(sum.millis, took)
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
