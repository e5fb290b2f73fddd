/** The breaker of the orphans: how much a mistake may take. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { hangsBefore } from "../../src/testing/Faults.ts"
import {
  artifact,
  blobs,
  counts,
  day,
  drop,
  hour,
  minute,
  objects,
  refer,
  replica,
  snapshot,
  sound,
  stage,
  start,
  sweep,
  sweepAfter,
  upload,
  World,
  type Wrapper,
  world
} from "../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero }
/** Small enough to be tripped by a handful. */
const cautious = { breakerBlobs: 4, breakerPercent: 20 }

const names = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => `b${String(from + i).padStart(3, "0")}`)
const tag = (name: string) => artifact(`tag of ${name}`, name)

const referenced = (all: ReadonlyArray<string>, sizeBytes = 1) =>
  Effect.forEach(all, (name) => upload(name, { sizeBytes, references: [tag(name)] }))
const dropped = (all: ReadonlyArray<string>) => Effect.forEach(all, (name) => drop(tag(name)))

const confirm = Effect.gen(function* () {
  const { rows } = yield* World
  return yield* rows.breakers.confirm(yield* Clock.currentTimeMillis)
})

/** Sweeps until what is an orphan now would be gone. */
const waited = Effect.gen(function* () {
  yield* sweep()
  yield* sweepAfter(hour)
  return yield* sweepAfter(hour)
})

describe("the breaker", () => {
  it.effect("stops a mass condemnation before anything is purged, and says how much of how much", () =>
    Effect.gen(function* () {
      yield* referenced(names(20), 10)
      yield* dropped(names(5))
      yield* sweep()
      const report = yield* sweepAfter(hour)
      assert.strictEqual(report.outcome, "refused")
      assert.deepInclude(counts(report, "orphans"), { deleted: 0, stoppedBy: "failure" })
      assert.strictEqual(report.phases.orphans.error?.tag, "BreakerOpen")
      assert.deepStrictEqual(report.guards, [
        { guard: "breaker", decision: "refused", message: report.phases.orphans.error?.message ?? "" }
      ])
      assert.include(
        report.guards[0]?.message,
        "5 (25.0 % of 20) blobs, 50 (25.0 % of 200) bytes, are condemned"
      )
      assert.include(report.guards[0]?.message, "artifact-gc breaker --confirm")
      assert.strictEqual((yield* sweepAfter(7 * day)).totals.deleted, 0)
      assert.deepStrictEqual(yield* blobs, names(20))
    }).pipe(Effect.provide(world(cautious)))
  )

  it.effect("needs more than both its bounds: as many blobs, or as large a share, pass", () =>
    Effect.gen(function* () {
      yield* referenced(names(25))
      yield* dropped(names(4))
      assert.strictEqual((yield* waited).totals.deleted, 4)
      // A fifth of the 20 and one: 5 of 25 are 20 percent, not more.
      yield* referenced(names(4, 100))
      yield* dropped(names(5, 4))
      assert.strictEqual((yield* waited).totals.deleted, 5)
      assert.strictEqual((yield* blobs).length, 20)
    }).pipe(Effect.provide(world(cautious)))
  )

  it.effect("counts bytes as well as blobs: a few large ones are a loss too", () =>
    Effect.gen(function* () {
      yield* referenced(names(5), 1000)
      yield* referenced(names(95, 100))
      yield* dropped(names(5))
      const report = yield* waited
      assert.strictEqual(report.outcome, "refused")
      assert.include(report.guards[0]?.message, "5 (5.0 % of 100) blobs, 5000 (98.1 % of 5095) bytes")
      assert.strictEqual((yield* blobs).length, 100)
    }).pipe(Effect.provide(world(cautious)))
  )

  it.effect("adds up what many sweeps condemn, each of them too little", () =>
    Effect.gen(function* () {
      yield* referenced(names(40))
      for (let n = 0; n < 4; n++) {
        yield* dropped(names(3, 3 * n))
        yield* sweep()
        yield* sweepAfter(hour)
      }
      assert.strictEqual((yield* sweepAfter(7 * day)).outcome, "refused")
      assert.strictEqual((yield* blobs).length, 40)
    }).pipe(Effect.provide(world({ ...cautious, quarantine: Duration.days(7) })))
  )

  it.effect("stays open when the references come back, for every collector, until a person confirms", () =>
    Effect.gen(function* () {
      yield* referenced(names(20))
      yield* dropped(names(10))
      assert.strictEqual((yield* waited).outcome, "refused")
      yield* Effect.forEach(names(9), (name) => refer(tag(name)))
      const other = yield* replica({ breakerPercent: 90 })
      for (const report of [yield* sweepAfter(day), yield* other.once()]) {
        assert.strictEqual(report.outcome, "refused")
        assert.include(report.guards[0]?.message, "10 (50.0 % of 20) blobs", "what it tripped over")
      }
      assert.deepStrictEqual(yield* confirm, ["orphans"])
      assert.strictEqual((yield* sweep()).totals.deleted, 1)
      assert.strictEqual((yield* blobs).length, 19)
      assert.deepStrictEqual(yield* confirm, [])
    }).pipe(Effect.provide(world(cautious)))
  )

  it.effect("lets go what stood condemned when it was confirmed, and trips over the next mass", () =>
    Effect.gen(function* () {
      yield* referenced(names(40))
      yield* dropped(names(10))
      assert.strictEqual((yield* waited).outcome, "refused")
      yield* confirm
      yield* dropped(names(10, 10))
      yield* sweepAfter(minute)
      assert.deepStrictEqual(yield* blobs, names(30, 10), "the confirmed are gone")
      const again = yield* sweepAfter(hour)
      assert.strictEqual(again.outcome, "refused")
      assert.include(again.guards[0]?.message, "10 (33.3 % of 30) blobs")
      assert.strictEqual((yield* sweepAfter(day)).totals.deleted, 0)
      yield* confirm
      assert.strictEqual((yield* sweep()).totals.deleted, 10)
      assert.deepStrictEqual(yield* blobs, names(20, 20))
    }).pipe(Effect.provide(world(cautious)))
  )

  it.effect("opens again although the clock of the confirming host is ahead", () =>
    Effect.gen(function* () {
      yield* referenced(names(20))
      yield* dropped(names(10))
      assert.strictEqual((yield* waited).outcome, "refused")
      const { rows, state } = yield* World
      yield* rows.breakers.confirm((yield* Clock.currentTimeMillis) + 30_000)
      yield* sweep()
      yield* dropped(names(10, 10))
      yield* sweepAfter(minute)
      yield* sweepAfter(hour)
      assert.strictEqual((yield* sweepAfter(day)).totals.deleted, 0)
      assert.strictEqual((yield* blobs).length, 10)
      assert.isAbove(state.breakers.get("orphans")?.trippedAt ?? 0, start)
    }).pipe(Effect.provide(world(cautious)))
  )

  it.effect("goes on marking while it is open, and holds up nothing but orphans", () =>
    Effect.gen(function* () {
      yield* referenced(names(20))
      yield* dropped(names(10))
      yield* stage("uploads/s/1")
      assert.strictEqual((yield* waited).outcome, "refused")
      yield* dropped(names(3, 10))
      yield* sweepAfter(minute)
      const report = yield* sweepAfter(day)
      assert.strictEqual(report.left?.condemned, 13)
      assert.strictEqual(report.phases.uploads.deleted, 1)
      assert.isNull(report.phases.journal.error)
    }).pipe(Effect.provide(world(cautious)))
  )

  it.effect("is off at 100 percent", () =>
    Effect.gen(function* () {
      yield* upload("only")
      yield* Effect.forEach(names(9), (name) => upload(name))
      const { database } = yield* World
      assert.strictEqual((yield* sweep()).totals.deleted, 10)
      assert.strictEqual(database.count("breakers.exposure"), 0)
    }).pipe(Effect.provide(world({ ...noWaits, breakerBlobs: 0, breakerPercent: 100 })))
  )

  it.effect("that cannot be asked stops the purge", () =>
    Effect.gen(function* () {
      yield* upload("a")
      const { database } = yield* World
      for (const verb of ["breakers.read", "breakers.exposure"] as const) {
        database.always(({ args, operation }) =>
          operation === verb && args[0] !== "manifests" ? { _tag: "Fails", reason: "Unavailable" } : undefined
        )
        assert.deepInclude(counts(yield* sweep(), "orphans"), { deleted: 0, stoppedBy: "failure" })
      }
      database.heal()
      assert.deepStrictEqual(yield* blobs, ["a"])
      assert.strictEqual((yield* sweep()).totals.deleted, 1)
    }).pipe(Effect.provide(world(noWaits)))
  )

  it.effect("is foreseen by a dry run, which opens nothing and says what would go", () =>
    Effect.gen(function* () {
      yield* referenced(names(20))
      yield* dropped(names(10))
      const before = yield* snapshot
      const plan = yield* sweep({ dryRun: true })
      assert.deepStrictEqual(yield* snapshot, before)
      assert.strictEqual(plan.outcome, "refused")
      assert.include(plan.guards[0]?.message, "A sweep would trip the breaker: 10 (50.0 % of 20) blobs")
      assert.deepInclude(plan.phases.orphans, { eligible: 10, deleted: 0 })
      assert.strictEqual((yield* sweep()).outcome, "refused")
      assert.match((yield* sweep({ dryRun: true })).guards[0]?.message ?? "", /^The breaker is open since/)
    }).pipe(Effect.provide(world({ ...noWaits, ...cautious })))
  )
})

describe("without the breaker", () => {
  /** A restore of the catalogue forgot the references; an operator puts them back a day later. */
  const forgotten = Effect.gen(function* () {
    const all = names(20)
    yield* referenced(all)
    const { state } = yield* World
    const references = [...state.references]
    state.references.clear()
    yield* waited
    yield* sweepAfter(day)
    for (const [id, reference] of references) state.references.set(id, reference)
    return (yield* blobs).length
  })

  it.effect("a forgotten table takes everything with it", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.scoped(Effect.provide(forgotten, world({ breakerPercent: 100 }))), 0)
    })
  )

  it.effect("with which everything is there when it comes back", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* forgotten, 20)
      yield* sound
      assert.strictEqual((yield* objects).length, 20)
    }).pipe(Effect.provide(world(cautious)))
  )

  /** Another collector trips the breaker while this one is between two pages. */
  const meanwhile = Effect.gen(function* () {
    yield* Effect.forEach(names(3), (name) => upload(name))
    const { database, rows } = yield* World
    const exposure = { blobs: 3, bytes: 3, totalBlobs: 3, totalBytes: 3 }
    const trips = Effect.orDie(rows.breakers.trip("orphans", start, exposure))
    database.next("orphans.purge", hangsBefore(trips))
    yield* sweep()
    return (yield* blobs).length
  })
  const pageByPage = { ...noWaits, batchMax: 1 }
  /** Believes for the whole sweep what it saw at its beginning. */
  const stale: Wrapper = (inner) => ({
    ...inner,
    breakers: {
      ...inner.breakers,
      read: (name) => Effect.succeed({ name, trippedAt: null, exposure: null, confirmedAt: null })
    }
  })

  it.effect("asked before each page, a sweep that began before it opened goes on", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* meanwhile, 0)
    }).pipe(Effect.provide(world(pageByPage, stale)))
  )

  it.effect("with which it ends after the page in hand", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* meanwhile, 2)
    }).pipe(Effect.provide(world(pageByPage)))
  )

  it.effect("what another collector condemns after the judgement is not purged on its strength", () =>
    Effect.gen(function* () {
      yield* upload("mine")
      const { database, state } = yield* World
      const condemnedLater = Effect.gen(function* () {
        yield* TestClock.adjust(1)
        const now = yield* Clock.currentTimeMillis
        for (const name of names(9)) {
          yield* Effect.orDie(upload(name))
          const [digest] = [...state.blobs.keys()].slice(-1)
          if (digest !== undefined)
            state.orphans.set(digest, { seenAt: now, condemnedAt: now, sweep: "other" })
        }
      })
      database.next(
        "orphans.purge",
        hangsBefore(condemnedLater.pipe(Effect.provideService(World, yield* World)))
      )
      yield* sweep()
      assert.deepStrictEqual(yield* blobs, names(9))
      assert.strictEqual((yield* sweepAfter(minute)).outcome, "refused")
      assert.deepStrictEqual(yield* blobs, names(9))
    }).pipe(Effect.provide(world({ ...noWaits, ...cautious })))
  )
})

describe("the undo window", () => {
  it.effect("gives back what was condemned by mistake: held, then grace and quarantine again", () =>
    Effect.gen(function* () {
      yield* referenced(names(3))
      yield* dropped(names(3))
      yield* sweep()
      const { sweep: id } = yield* sweepAfter(hour)
      const { rows } = yield* World
      const listed = yield* rows.orphans.condemned({ _tag: "Sweep", sweep: id }, null, 10)
      assert.strictEqual(listed.length, 3)
      const now = yield* Clock.currentTimeMillis
      yield* rows.orphans.restore(
        now,
        listed.map(({ digest }) => digest),
        now + 7 * day
      )
      for (let n = 0; n < 7; n++) {
        assert.strictEqual((yield* sweepAfter(day - 1)).totals.deleted, 0)
      }
      assert.isTrue(yield* refer(tag("b000")))
      yield* sweepAfter(minute)
      yield* sweepAfter(hour - 1)
      assert.strictEqual((yield* sweepAfter(1)).left?.condemned, 2)
      yield* sweepAfter(hour - 1)
      assert.deepStrictEqual(yield* blobs, names(3))
      yield* sweepAfter(1)
      assert.deepStrictEqual(yield* blobs, ["b000"])
    }).pipe(Effect.provide(world()))
  )
})
