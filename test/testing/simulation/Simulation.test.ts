/** The open simulation, with an app's own actors and invariants. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { BlobStore } from "../../../src/blobs/BlobStore.ts"
import { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { Simulation } from "../../../src/testing/index.ts"
import { appWith, committing, copier, randomBody, remover, shared } from "./App.ts"

/** Pins that outlast a run. */
const safe = appWith("30 days")

/** Pins end while users wait. */
const unsafe = appWith("1 minute")

/** A seed at which {@link unsafe} breaks. */
const brokenSeed = Effect.runSync(
  Effect.cached(Effect.flip(Simulation.runSeeds({ ...unsafe, seeds: 300, shrinkRuns: 0 })))
)

describe("a simulation of an app", () => {
  it.effect("holds, and meets every fault", () =>
    Effect.gen(function* () {
      const { counts } = yield* Simulation.runSeeds({ ...safe, seeds: 30 })
      for (const what of [
        "notes",
        "processes killed",
        "processes interrupted",
        "processes paused",
        "clocks displaced",
        "leaps of time",
        "requests failed",
        "answers lost",
        "requests taking effect late",
        "late effects",
        "sweep: complete"
      ])
        assert.isAbove(counts[what] ?? 0, 0, what)
    })
  )

  it.effect("gives equal outcomes for two runs of a seed, and others for other seeds", () =>
    Effect.gen(function* () {
      const runs = [5, 5, 6].map((seed) => Simulation.run({ ...safe, seed, trace: true }))
      const [first, second, other] = yield* Effect.all(runs)
      assert.deepStrictEqual(second, first)
      assert.notDeepEqual(other?.trace, first?.trace)
      assert.isAbove(first?.trace.length ?? 0, 100)
    })
  )

  it.effect("names the invariant that broke, and the seed that replays it", () =>
    Effect.gen(function* () {
      const { invariant, report, seed } = yield* brokenSeed
      assert.strictEqual(invariant, "a stored text can be referred to")
      assert.include(report, `Seed ${seed} broke at step`)
      const again = yield* Simulation.run({ ...unsafe, seed, shrinkRuns: 0 })
      assert.strictEqual(again._tag === "Broken" ? again.invariant : null, invariant)
    })
  )

  it.effect("shortens a broken run to the calls that break it, the same ones each time", () =>
    Effect.gen(function* () {
      const { seed } = yield* brokenSeed
      const [first, second] = yield* Effect.all(
        [1, 2].map(() => Simulation.run({ ...unsafe, seed, shrinkRuns: 10 }))
      )
      assert.deepStrictEqual(second, first)
      const outcome = yield* Simulation.run({ ...unsafe, seed, shrinkRuns: 120 })
      if (outcome._tag === "Held" || outcome.shrunk === null) return assert.fail("nothing was shortened")
      const { message, trace } = outcome.shrunk
      assert.isBelow(trace.length, outcome.trace.length / 1.5)
      assert.include(message, "does not exist. Put the bytes again")
      const lines = trace.map((line) => line.slice(18))
      assert.include(lines.join("\n"), "journal.expirePins")
      assert.include(lines.join("\n"), "orphans.purge")
      assert.include(lines.at(-1), "BROKEN")
    })
  )

  it.effect("keeps no trace of a run that is neither traced nor shortened", () =>
    Effect.gen(function* () {
      const { trace } = yield* Simulation.run({ ...safe, seed: 1 })
      assert.deepStrictEqual(trace, [])
    })
  )
})

describe("tables of the app", () => {
  it.effect("are written in the transaction of a put, and in transactions of the app", () =>
    Effect.gen(function* () {
      const { counts } = yield* Simulation.runSeeds({
        ...shared,
        actors: [
          Simulation.actor("writer", committing, { count: 2 }),
          Simulation.actor("copier", copier),
          Simulation.actor("remover", remover),
          Simulation.collector()
        ],
        seeds: 20
      })
      for (const what of ["notes", "copies", "processes killed"]) assert.isAbove(counts[what] ?? 0, 0, what)
    })
  )

  it.effect("say in the trace when a transaction commits, and when the server ends a lost one", () =>
    Effect.gen(function* () {
      const traces = yield* Effect.forEach([1, 2, 3, 4, 5], (seed) =>
        Simulation.run({
          ...shared,
          actors: [Simulation.actor("copier", copier), Simulation.collector()],
          faults: { kills: 0.1, requests: 0.1 },
          seed,
          trace: true
        })
      )
      const lines = traces.flatMap(({ trace }) => trace).join("\n")
      assert.include(lines, "tables.commit() -> done")
      assert.include(lines, "tables.rollback(), sent earlier, takes effect")
    })
  )
})

describe("what must hold", () => {
  it.effect("sees the rows, the objects and the references of each moment", () =>
    Effect.gen(function* () {
      let seen = 0
      const counted = Simulation.invariant("every reference has a row and an object", (facts) => {
        seen = Math.max(seen, facts.references.length)
        const lost = facts.references.find(({ digest }) => {
          const row = facts.blobs.get(digest)
          return row === undefined || !facts.objects.has(row.key)
        })
        return lost === undefined ? null : `${lost.table} ${lost.id} is lost`
      })
      yield* Simulation.runSeeds({ ...safe, seeds: 5, invariants: [counted] })
      assert.isAbove(seen, 0)
    })
  )

  it.effect("may be an Effect over the shared services", () =>
    Effect.gen(function* () {
      const two = Simulation.invariant("no text is three bytes long", ({ blobs }) =>
        Effect.gen(function* () {
          const store = yield* BlobStore
          for (const digest of blobs.keys()) {
            const stat = yield* store.stat(digest)
            if (stat._tag === "Some" && stat.value.sizeBytes === 3) return `${digest} is three bytes long`
          }
          return null
        })
      )
      const { invariant } = yield* Effect.flip(
        Simulation.runSeeds({ ...safe, seeds: 20, invariants: [two], shrinkRuns: 0 })
      )
      assert.strictEqual(invariant, "no text is three bytes long")
    })
  )

  it.effect("includes that nothing leaks, once sweeps have had their time", () =>
    Effect.gen(function* () {
      const key = ObjectKey.make("elsewhere/1")
      const forgetful = Simulation.actor(
        "writer",
        Effect.flatMap(Storage, (store) => Effect.flatMap(randomBody, (body) => store.put(key, body, null)))
      )
      const options = { actors: [forgetful], seeds: 5, shrinkRuns: 0 }
      const { invariant } = yield* Effect.flip(Simulation.runSeeds(options))
      assert.strictEqual(invariant, "nothing leaks")
      yield* Simulation.runSeeds({ ...options, leaks: false })
    })
  )

  it.effect("may be asked at the end alone", () =>
    Effect.gen(function* () {
      let asked = 0
      const once = Simulation.atEnd("it ends", () => {
        asked += 1
        return null
      })
      yield* Simulation.run({ ...safe, seed: 3, invariants: [once] })
      assert.strictEqual(asked, 1)
    })
  )
})

describe("collectors of a simulation", () => {
  it.effect("may have settings of their own: replicas that differ refuse", () =>
    Effect.gen(function* () {
      const { counts } = yield* Simulation.runSeeds({
        actors: [
          Simulation.actor("remover", remover),
          Simulation.collector(),
          Simulation.collector({ name: "strict collector", settings: { grace: Duration.hours(5) } })
        ],
        ...shared,
        faults: Simulation.noFaults,
        seeds: 5
      })
      assert.isAbove(counts["sweep: refused"] ?? 0, 0)
    })
  )
})
