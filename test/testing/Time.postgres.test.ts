/** `Time.pass` over a real PostgreSQL: the clock waits for its answers. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { CollectorDatabase } from "../../src/database/Database.ts"
import * as Postgres from "../../src/database/Postgres.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import * as MemoryStorage from "../../src/storage/Memory.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as Time from "../../src/testing/Time.ts"
import * as Databases from "../fixtures/Databases.ts"

describe("time that passes over PostgreSQL", () => {
  it.effect(
    "lets each sweep of a month come to its end",
    () =>
      Effect.gen(function* () {
        const place = yield* Databases.emptyDatabase(Databases.embedded)
        const client = Layer.succeedContext(yield* Layer.build(Databases.client(place)))
        yield* Effect.provide(Postgres.migrate(defaultNames, { createCatalog: "artifacts" }), client)
        yield* TestClock.setTime(Date.parse("2026-11-01T00:00:00Z"))
        const calls = Time.calls()
        const collected = Layer.provide(
          Sweep.layer({ presence: "2 days" }),
          Layer.mergeAll(
            calls.watch(CollectorDatabase).pipe(Layer.provideMerge(Postgres.layer())),
            MemoryStorage.layer
          )
        ).pipe(Layer.provide(client))
        yield* Effect.gen(function* () {
          const sweep = yield* Sweep
          const starts: Array<string> = []
          yield* sweep.once().pipe(
            Effect.map(({ durationMillis, outcome, startedAt }) =>
              starts.push(`${startedAt.slice(8, 13)} ${outcome} ${durationMillis}`)
            ),
            Effect.andThen(Effect.sleep("1 day")),
            Effect.forever,
            Effect.forkChild
          )
          yield* Time.pass("29 days", { calls, step: "6 hours" })
          const days = Array.from({ length: 30 }, (_, n) => String(n + 1).padStart(2, "0"))
          assert.deepStrictEqual(
            starts,
            days.map((day) => `${day}T00 complete 0`)
          )
        }).pipe(Effect.provide(collected))
      }),
    60_000
  )
})
