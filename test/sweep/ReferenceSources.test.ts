/** References that are kept elsewhere: what a source holds stays, and what a source does not answer for stays, too. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import type { Digest } from "../../src/domain/Digest.ts"
import type { SweepReport } from "../../src/domain/SweepReport.ts"
import { registryPhases } from "../../src/oci/RegistryPhases.ts"
import * as ReferenceSource from "../../src/sweep/ReferenceSource.ts"
import type { SweepSettings } from "../../src/sweep/Settings.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import {
  blobs,
  day,
  digest,
  hour,
  minute,
  objects,
  passing,
  snapshot,
  sound,
  upload,
  World,
  world
} from "../fixtures/World.ts"

const noWaits = { grace: Duration.zero, quarantine: Duration.zero, presence: Duration.weeks(500) }

/** A collector that asks these sources. */
const collector = (
  sources: ReadonlyArray<ReferenceSource.ReferenceSource>,
  settings: Partial<SweepSettings> = noWaits
) =>
  Effect.map(
    Layer.build(Sweep.layerUnchecked({ ...settings, collectorId: "ours", phases: registryPhases, sources })),
    Context.get(Sweep)
  )

/** A source that holds what is in `held`, and notes what it was asked. */
const keeping = (name: string, held: ReadonlySet<string>) => {
  const asked: Array<ReadonlyArray<Digest>> = []
  return {
    asked,
    source: ReferenceSource.make(name, (digests) =>
      Effect.sync(() => {
        asked.push(digests)
        return held
      })
    )
  }
}

const findingsOf = ({ guards }: SweepReport) =>
  guards.flatMap(({ guard, message }) => (guard === "references" ? [message] : []))

const some = Effect.forEach(["a", "b", "c"], (name) => upload(name))

describe("a reference source", () => {
  it.effect("keeps what it holds for twenty sweeps, and lets go of it when it lets go", () =>
    Effect.gen(function* () {
      yield* some
      const held = new Set(["b"])
      const gc = yield* collector([keeping("sessions", held).source])
      const first = yield* gc.once()
      assert.deepInclude(first.phases.orphans, { deleted: 2, kept: { source: 1 }, failed: {} })
      assert.strictEqual(first.outcome, "complete")
      for (let n = 0; n < 20; n++) {
        yield* TestClock.adjust(hour)
        yield* gc.once()
      }
      assert.deepStrictEqual(yield* blobs, ["b"])
      held.clear()
      yield* TestClock.adjust(6 * hour)
      assert.strictEqual((yield* gc.once()).phases.orphans.deleted, 1)
      assert.deepStrictEqual(yield* objects, [])
      yield* sound
    }).pipe(Effect.provide(world()))
  )

  it.effect("without which all of it is lost (control)", () =>
    Effect.gen(function* () {
      yield* some
      yield* (yield* collector([])).once()
      assert.deepStrictEqual(yield* blobs, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("that lets go leaves the blob both waits", () =>
    Effect.gen(function* () {
      yield* upload("a")
      const held = new Set(["a"])
      const waits = { ...noWaits, grace: Duration.hours(1), quarantine: Duration.hours(3) }
      const gc = yield* collector([keeping("sessions", held).source], waits)
      for (let n = 0; n < 24; n++) {
        yield* gc.once()
        yield* TestClock.adjust(hour / 2)
      }
      held.clear()
      let waited = 0
      while ((yield* blobs).length > 0) {
        yield* TestClock.adjust(hour / 2)
        waited += hour / 2
        yield* gc.once()
      }
      assert.isAtLeast(waited, 3 * hour)
      assert.isAtMost(waited, 10 * hour)
    }).pipe(Effect.provide(world()))
  )

  it.effect("is asked about a blob that it holds less and less often, and every six hours at least", () =>
    Effect.gen(function* () {
      yield* upload("a")
      const { asked, source } = keeping("sessions", new Set(["a"]))
      const gc = yield* collector([source], { ...noWaits, grace: Duration.hours(1) })
      for (let n = 0; n < 24 * 5; n++) {
        yield* gc.once()
        yield* TestClock.adjust(hour)
      }
      assert.isAtLeast(asked.length, 4 * 4)
      assert.isAtMost(asked.length, 4 * 5 + 4)
      assert.deepStrictEqual(yield* blobs, ["a"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("is asked for a batch at most, and about nothing that is referenced or must wait", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 7; n++) yield* upload(`old${n}`)
      yield* TestClock.adjust(hour)
      yield* upload("young")
      const { asked, source } = keeping("sessions", new Set())
      const gc = yield* collector([source], { ...noWaits, grace: Duration.minutes(30), batchMax: 3 })
      yield* gc.once()
      yield* TestClock.adjust(30 * minute)
      yield* gc.once()
      assert.isAtMost(Math.max(...asked.map(({ length }) => length)), 3)
      const about = new Set(asked.flat())
      assert.lengthOf([...about], 8)
      // Once before it is condemned, once before it is purged.
      assert.lengthOf(asked.flat(), 16)
    }).pipe(Effect.provide(world()))
  )

  it.effect("may be one of several, and each keeps what it holds", () =>
    Effect.gen(function* () {
      yield* some
      const one = keeping("one", new Set(["a"]))
      const other = keeping("other", new Set(["c"]))
      const gc = yield* collector([one.source, other.source])
      assert.deepInclude((yield* gc.once()).phases.orphans, { deleted: 1, kept: { source: 2 } })
      assert.deepStrictEqual(yield* blobs, ["a", "c"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("takes its services from where the layer is built", () => {
    class Redis extends Context.Service<Redis, { readonly held: ReadonlySet<string> }>()("test/Redis") {}
    const source = ReferenceSource.make("redis", () => Effect.map(Redis, ({ held }) => held))
    return Effect.gen(function* () {
      yield* some
      const layer = Sweep.layerUnchecked({ ...noWaits, sources: [source] })
      type Required<L> = L extends Layer.Layer<infer _A, infer _E, infer R> ? R : never
      const requires: Redis extends Required<typeof layer> ? true : false = true
      assert.isTrue(requires)
      const built = yield* Layer.build(Layer.provide(layer, Layer.succeed(Redis, { held: new Set(["a"]) })))
      const gc = Context.get(built, Sweep)
      // The caller's own service of that name does not count.
      yield* gc.once().pipe(Effect.provideService(Redis, { held: new Set<string>() }))
      assert.deepStrictEqual(yield* blobs, ["a"])
    }).pipe(Effect.provide(world()))
  })

  it.effect("is asked by a dry run, too, which changes nothing", () =>
    Effect.gen(function* () {
      yield* some
      const { asked, source } = keeping("sessions", new Set(["b"]))
      const gc = yield* collector([source])
      const before = yield* snapshot
      const report = yield* gc.once({ dryRun: true })
      assert.deepStrictEqual(yield* snapshot, before)
      assert.deepInclude(report.phases.orphans, { eligible: 2, kept: { source: 1 }, sample: ["a", "c"] })
      assert.deepStrictEqual(asked, [["a", "b", "c"].map(digest)])
    }).pipe(Effect.provide(world()))
  )
})

describe("a source that does not answer", () => {
  const lazy = function* (): Generator<string> {
    yield "a"
    throw new Error("connection lost while reading")
  }

  const failures: ReadonlyArray<readonly [string, ReferenceSource.ReferenceSource["ask"], says: string]> = [
    ["fails", () => Effect.fail("connection refused"), "connection refused"],
    ["dies", () => Effect.die(new Error("a bug")), "a bug"],
    [
      "throws before it returns an effect",
      () => {
        throw new Error("not even an effect")
      },
      "not even an effect"
    ],
    ["breaks off its answer", () => Effect.sync(lazy), "connection lost while reading"],
    ["interrupts itself", () => Effect.interrupt, "interrupt"],
    ["is silent", () => Effect.never, "no answer within 10s"],
    ["cannot be interrupted", () => Effect.uninterruptible(Effect.never), "no answer within 10s"],
    ["answers nonsense", () => Effect.succeed(7 as unknown as Iterable<string>), "not iterable"]
  ]

  for (const [what, ask, says] of failures) {
    it.effect(`keeps everything: it ${what}`, () =>
      Effect.gen(function* () {
        yield* some
        const gc = yield* collector([ReferenceSource.make("sessions", ask)])
        const report = yield* passing(gc.once())
        assert.deepStrictEqual(yield* blobs, ["a", "b", "c"])
        assert.strictEqual(report.outcome, "failed")
        assert.deepInclude(report.phases.orphans, { deleted: 0, failed: { source: 3 }, error: null })
        const [finding = ""] = findingsOf(report)
        assert.include(finding, 'The reference source "sessions" failed once')
        assert.include(finding, says)
        assert.include(finding, "none of them was deleted")
        yield* sound
      }).pipe(Effect.provide(world()))
    )
  }

  it.effect("keeps what is condemned already", () =>
    Effect.gen(function* () {
      yield* some
      let isDown = false
      const source = ReferenceSource.make("sessions", () =>
        isDown ? Effect.fail("down") : Effect.succeed([])
      )
      const gc = yield* collector([source], { ...noWaits, quarantine: Duration.hours(1) })
      yield* gc.once()
      isDown = true
      yield* TestClock.adjust(hour)
      const report = yield* gc.once()
      assert.deepInclude(report.phases.orphans, { eligible: 3, deleted: 0, failed: { source: 3 } })
      assert.strictEqual(report.left?.condemned, 3)
      isDown = false
      assert.strictEqual((yield* gc.once()).phases.orphans.deleted, 3)
    }).pipe(Effect.provide(world()))
  )

  it.effect("is asked three times in a sweep, and again by the next", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 10; n++) yield* upload(`blob${n}`)
      let asked = 0
      const source = ReferenceSource.make("sessions", () => Effect.suspend(() => Effect.fail(++asked)))
      const gc = yield* collector([source], { ...noWaits, batchMax: 1 })
      const report = yield* gc.once()
      assert.strictEqual(asked, 3)
      assert.include(findingsOf(report)[0], "failed 3 times")
      assert.include(findingsOf(report)[0], "10 blobs that it was asked about are kept")
      yield* gc.once()
      assert.strictEqual(asked, 6)
      assert.lengthOf(yield* blobs, 10)
    }).pipe(Effect.provide(world()))
  )

  it.effect("keeps what the others would let go", () =>
    Effect.gen(function* () {
      yield* some
      const down = ReferenceSource.make("down", () => Effect.fail("down"))
      const gc = yield* collector([keeping("up", new Set(["a"])).source, down])
      const report = yield* gc.once()
      assert.deepInclude(report.phases.orphans, { deleted: 0, kept: { source: 1 }, failed: { source: 2 } })
    }).pipe(Effect.provide(world()))
  )

  it.effect("answers within a time of its own", () =>
    Effect.gen(function* () {
      yield* some
      const slow = ReferenceSource.make("slow", () => Effect.as(Effect.sleep("30 seconds"), []), {
        timeout: "1 minute"
      })
      const report = yield* passing((yield* collector([slow])).once())
      assert.strictEqual(report.phases.orphans.deleted, 3)
    }).pipe(Effect.provide(world()))
  )
})

describe("the breakers beside a source", () => {
  it.effect("do not count what it holds", () =>
    Effect.gen(function* () {
      const held = new Set<string>()
      for (let n = 0; n < 200; n++) yield* upload(`blob${n}`)
      for (let n = 0; n < 190; n++) held.add(`blob${n}`)
      const gc = yield* collector([keeping("sessions", held).source])
      const report = yield* gc.once()
      assert.deepInclude(report.phases.orphans, { deleted: 10, error: null })
      assert.lengthOf(yield* blobs, 190)
    }).pipe(Effect.provide(world()))
  )

  it.effect("open when it lets go of everything at once, as an emptied Redis does", () =>
    Effect.gen(function* () {
      const held = new Set<string>()
      for (let n = 0; n < 200; n++) yield* upload(`blob${n}`)
      for (let n = 0; n < 200; n++) held.add(`blob${n}`)
      const gc = yield* collector([keeping("sessions", held).source])
      yield* gc.once()
      held.clear()
      yield* TestClock.adjust(day)
      assert.strictEqual((yield* gc.once()).phases.orphans.error?.tag, "BreakerOpen")
      assert.lengthOf(yield* blobs, 200)
    }).pipe(Effect.provide(world()))
  )

  it.effect("of the first reference needs no answer once a source holds something", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      state.remembered.held = false
      yield* some
      const held = new Set<string>()
      const gc = yield* collector([keeping("sessions", held).source])
      const asking = yield* gc.once()
      assert.include(asking.phases.orphans.error?.message, "has ever held a row")
      yield* upload("d")
      held.add("d")
      assert.deepInclude((yield* gc.once()).phases.orphans, { deleted: 3, error: null })
      assert.deepStrictEqual(yield* blobs, ["d"])
    }).pipe(Effect.provide(world()))
  )
})

describe("a sweep that lacks a source of earlier sweeps", () => {
  const twice = Effect.gen(function* () {
    yield* some
    const ours = yield* collector([keeping("sessions", new Set(["a", "b", "c"])).source])
    yield* ours.once()
    yield* ours.leave
    yield* TestClock.adjust(day)
    return yield* collector([])
  })

  it.effect("refuses, and deletes nothing", () =>
    Effect.gen(function* () {
      const gc = yield* twice
      const report = yield* gc.once()
      assert.strictEqual(report.outcome, "refused")
      assert.strictEqual(report.phases.orphans.error?.tag, "SourcesMissing")
      assert.include(findingsOf(report)[0], "sessions")
      assert.strictEqual((yield* gc.once({ dryRun: true })).outcome, "refused")
      assert.deepStrictEqual(yield* blobs, ["a", "b", "c"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("without the memory deletes what the source holds (control)", () =>
    Effect.gen(function* () {
      const gc = yield* twice
      const { state } = yield* World
      state.remembered.sources.clear()
      yield* gc.once()
      assert.deepStrictEqual(yield* blobs, [])
    }).pipe(Effect.provide(world()))
  )

  it.effect("continues once an operator has confirmed, and the app with the source is asked for again", () =>
    Effect.gen(function* () {
      const gc = yield* twice
      yield* gc.once()
      const { rows } = yield* World
      const at = Date.parse("2026-11-24T00:00:00Z")
      assert.deepStrictEqual(yield* rows.breakers.confirm(at, ["sources"]), ["sources"])
      assert.strictEqual((yield* gc.once()).phases.orphans.deleted, 3)
      assert.strictEqual((yield* gc.once()).outcome, "complete")
    }).pipe(Effect.provide(world()))
  )

  it.effect("continues when it has the source again", () =>
    Effect.gen(function* () {
      const gc = yield* twice
      yield* gc.once()
      const back = yield* collector([keeping("sessions", new Set(["a"])).source])
      assert.strictEqual((yield* back.once()).outcome, "complete")
      const { rows } = yield* World
      assert.isNotNull((yield* rows.breakers.read("sources")).confirmedAt)
      yield* back.leave
      assert.strictEqual((yield* gc.once()).phases.orphans.error?.tag, "SourcesMissing")
    }).pipe(Effect.provide(world()))
  )

  it.effect("is refused beside one at work that has it, whatever is remembered", () =>
    Effect.gen(function* () {
      yield* some
      const ours = yield* collector([keeping("sessions", new Set(["a"])).source])
      yield* ours.once()
      const { state } = yield* World
      state.remembered.sources.clear()
      const built = yield* Layer.build(Sweep.layerUnchecked({ ...noWaits, collectorId: "theirs" }))
      const report = yield* Context.get(built, Sweep).once()
      assert.strictEqual(report.phases.orphans.error?.tag, "SettingsRefused")
      assert.include(report.phases.orphans.error?.message, "reference sources: none here, sessions there")
    }).pipe(Effect.provide(world()))
  )
})
