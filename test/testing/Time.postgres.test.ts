/** `Time.pass` over a real PostgreSQL: the clock waits for its answers. */
import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { CollectorDatabase } from "../../src/database/Database.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import type { SweepReport } from "../../src/domain/SweepReport.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import * as Collector from "../../src/sweep/Collector.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as Time from "../../src/testing/Time.ts"
import * as Databases from "../fixtures/Databases.ts"

/** Provides a collector over a new database, whose calls are watched. */
const overPostgres = <A, E>(
  use: (calls: Time.Calls) => Effect.Effect<A, E, Sweep | Scope.Scope>,
  settings: { readonly presence?: Duration.Input } = {}
) =>
  Effect.gen(function* () {
    const place = yield* Databases.emptyDatabase(Databases.embedded)
    const client = Layer.succeedContext(yield* Layer.build(Databases.client(place)))
    yield* Effect.provide(Postgres.migrate(defaultNames, { createCatalog: "artifacts" }), client)
    yield* TestClock.setTime(Date.parse("2026-11-01T00:00:00Z"))
    const calls = Time.calls()
    const collected = Layer.provide(
      Sweep.layer(settings),
      Layer.mergeAll(
        calls.watch(CollectorDatabase).pipe(Layer.provideMerge(Postgres.layer())),
        MemoryStorage.layer
      )
    ).pipe(Layer.provide(client))
    return yield* Effect.provide(use(calls), collected)
  })

const described = ({ durationMillis, outcome, startedAt }: SweepReport) =>
  `${startedAt.slice(8, 13)} ${outcome} ${durationMillis}`

/** A sweep at midnight of each day, which took no time of the test's clock. */
const everyDay = (days: number) =>
  Array.from({ length: days }, (_, n) => `${String(n + 1).padStart(2, "0")}T00 complete 0`)

describe("time that passes over PostgreSQL", () => {
  it.effect(
    "lets each sweep of a month come to its end",
    () =>
      overPostgres(
        (calls) =>
          Effect.gen(function* () {
            const sweep = yield* Sweep
            const starts: Array<string> = []
            yield* sweep.once().pipe(
              Effect.map((report) => starts.push(described(report))),
              Effect.andThen(Effect.sleep("1 day")),
              Effect.forever,
              Effect.forkChild
            )
            yield* Time.pass("29 days", { calls })
            assert.deepStrictEqual(starts, everyDay(30))
          }),
        { presence: "2 days" }
      ),
    60_000
  )

  it.effect(
    "waits for the sweeps of a collector, which itself waits for suspects all the time",
    () =>
      overPostgres((calls) =>
        Effect.gen(function* () {
          const starts: Array<string> = []
          yield* Layer.build(
            Collector.layer({
              every: "1 day",
              jitter: 0,
              onReport: (report) => Effect.sync(() => void starts.push(described(report)))
            })
          )
          yield* Time.pass("9 days", { calls })
          assert.deepStrictEqual(starts, everyDay(10))
        })
      ),
    60_000
  )
})
