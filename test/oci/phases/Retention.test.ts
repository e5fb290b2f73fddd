/** Tags that no retention rule keeps, what keeps the others, and the breaker that asks before they are removed. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import { emptyPhase } from "../../../src/domain/SweepReport.ts"
import { breaker } from "../../../src/oci/phases/Retention.ts"
import { parse, Retention } from "../../../src/oci/retention/RetentionRules.ts"
import type { SweepOptions } from "../../../src/sweep/Sweep.ts"
import { hangsBefore } from "../../../src/testing/Faults.ts"
import {
  blobs,
  clean,
  counts,
  day,
  digest,
  hour,
  manifest,
  manifests,
  minute,
  settle,
  snapshot,
  sweep,
  World,
  type Wrapper,
  world
} from "../../fixtures/World.ts"

type Keep = ReadonlyArray<object>

const rulesOf = (keep: Keep, repositories: ReadonlyArray<string> = ["library"]) =>
  Result.getOrThrow(parse(JSON.stringify({ policies: [{ repositories, keep }] })))

/** Sweeps by these rules. */
const sweepBy = (keep: Keep, options?: SweepOptions) =>
  Effect.provideService(sweep(options), Retention, Effect.succeed(rulesOf(keep)))

const tags = Effect.map(World, ({ state }) => [...state.tags.values()].map(({ name }) => name).sort())

/** Pushes builds, the first the oldest, an hour apart. */
const build = (...names: ReadonlyArray<string>) =>
  Effect.forEach(names, (name) => Effect.andThen(manifest(name, { tags: [name] }), TestClock.adjust(hour)), {
    discard: true
  })

/** A person takes a while to look. */
const confirm = Effect.gen(function* () {
  const { rows } = yield* World
  yield* TestClock.adjust(1)
  return yield* rows.breakers.confirm(yield* Clock.currentTimeMillis)
})

/** Rules that a person has confirmed, and by which the older tags are gone. */
const settled = (keep: Keep) =>
  Effect.gen(function* () {
    yield* sweepBy(keep)
    yield* confirm
    yield* sweepBy(keep)
  })

const messageOf = (report: Effect.Success<ReturnType<typeof sweep>>) =>
  report.phases.retention?.error?.message ?? ""

describe("a tag that no rule keeps", () => {
  it.effect("is removed, and its manifest and layers wait as those of any untagged manifest", () =>
    Effect.gen(function* () {
      yield* build("a", "b", "c")
      yield* settled([{ newest: 2 }])
      assert.deepStrictEqual(
        [yield* tags, yield* manifests],
        [
          ["b", "c"],
          ["a", "b", "c"]
        ]
      )
      yield* TestClock.adjust(day - minute)
      yield* sweepBy([{ newest: 2 }])
      assert.deepStrictEqual(yield* manifests, ["a", "b", "c"])
      yield* TestClock.adjust(minute)
      yield* sweepBy([{ newest: 2 }])
      assert.deepStrictEqual(yield* manifests, ["b", "c"])
      for (let n = 0; n < 3; n++) yield* Effect.andThen(TestClock.adjust(hour), sweepBy([{ newest: 2 }]))
      assert.deepStrictEqual(yield* blobs, ["b", "c"])
      yield* clean
    }).pipe(Effect.provide(world()))
  )

  it.effect("stays where no policy names its repository, and where there are no rules", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* build("a", "b", "c")
      assert.deepStrictEqual((yield* sweep()).phases.retention, emptyPhase)
      assert.strictEqual(database.count("retention.state"), 0)
      const elsewhere = Effect.succeed(rulesOf([{ newest: 1 }], ["other", "library/*"]))
      const report = yield* Effect.provideService(sweep(), Retention, elsewhere)
      assert.deepInclude(counts(report, "retention"), { seen: 0, eligible: 0 })
      assert.deepStrictEqual(yield* tags, ["a", "b", "c"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("stays while an index lists its manifest that a kept tag names", () =>
    Effect.gen(function* () {
      yield* build("amd64", "arm64", "old")
      yield* manifest("index", { lists: ["amd64", "arm64"], tags: ["v1"] })
      yield* settled([{ newest: 1 }])
      assert.deepStrictEqual(yield* tags, ["amd64", "arm64", "v1"])
      yield* manifest("next", { tags: ["v1"] })
      yield* TestClock.adjust(hour)
      yield* manifest("last", { tags: ["v2"] })
      yield* sweepBy([{ newest: 1 }])
      assert.deepStrictEqual(yield* tags, ["v2"])
      assert.include(yield* manifests, "amd64")
    }).pipe(Effect.provide(world({ breakerPercent: 100 })))
  )

  it.effect("counts as pushed when a sweep first sees it, if it is from before its pushes were dated", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* build("a", "b")
      for (const [id, { pushedAt: _, ...row }] of state.tags) state.tags.set(id, row)
      const keep = [{ pushedWithin: "7 days" }]
      yield* TestClock.adjust(100 * day)
      yield* sweepBy(keep)
      assert.deepStrictEqual(yield* tags, ["a", "b"])
      yield* TestClock.adjust(7 * day - 1)
      yield* sweepBy(keep)
      assert.deepStrictEqual(yield* tags, ["a", "b"])
      yield* TestClock.adjust(1)
      yield* sweepBy(keep)
      assert.deepStrictEqual(yield* tags, [])
    }).pipe(Effect.provide(world({ breakerPercent: 100 })))
  )

  it.effect("does not push others out while its date is ahead of the clocks", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* build("a", "b", "c")
      for (const [id, row] of state.tags)
        if (row.name === "a") state.tags.set(id, { ...row, pushedAt: (row.pushedAt ?? 0) + 365 * day })
      yield* sweepBy([{ newest: 1 }])
      yield* TestClock.adjust(hour)
      yield* manifest("d", { tags: ["d"] })
      yield* sweepBy([{ newest: 1 }])
      assert.deepStrictEqual(yield* tags, ["d"])
    }).pipe(Effect.provide(world({ breakerPercent: 100 })))
  )

  /** A client moves the tag to another manifest between the judgement and the removal. */
  const movedMeanwhile = Effect.gen(function* () {
    const { database, rows, state } = yield* World
    yield* build("a", "b")
    const [row] = [...state.manifests.values()].filter((one) => one.digest === digest("b"))
    assert.isDefined(row)
    const moving = Effect.flatMap(Clock.currentTimeMillis, (now) =>
      rows.manifests.put(now, row, [], { tags: ["a"] })
    )
    database.next("retention.untag", hangsBefore(Effect.orDie(moving)))
    return counts(yield* sweepBy([{ newest: 1 }]), "retention")
  })

  it.effect("stays if a client pushes it between the judgement and the removal", () =>
    Effect.gen(function* () {
      assert.deepInclude((yield* movedMeanwhile).kept, { changed: 1 })
      assert.deepStrictEqual(yield* tags, ["a", "b"])
    }).pipe(Effect.provide(world({ breakerPercent: 100 })))
  )

  /** Removes tags by name alone. */
  const careless: Wrapper = (inner) => ({
    ...inner,
    retention: {
      ...inner.retention,
      untag: (now, repository, judged) =>
        Effect.map(
          Effect.forEach(judged, ({ name }) => inner.manifests.untag(now, repository, name)),
          () => judged.map(({ name }) => name)
        )
    }
  })

  it.effect("is lost where tags are removed by name alone (control)", () =>
    Effect.gen(function* () {
      yield* movedMeanwhile
      assert.deepStrictEqual(yield* tags, ["b"])
    }).pipe(Effect.provide(world({ breakerPercent: 100 }, careless)))
  )
})

describe("rules that are new, or keep less", () => {
  it.effect("wait for a person before they remove a single tag", () =>
    Effect.gen(function* () {
      yield* build("a", "b", "c")
      const report = yield* sweepBy([{ newest: 2 }])
      assert.strictEqual(report.outcome, "refused")
      assert.include(messageOf(report), "no retention rule keeps 1 (33.3 % of 3) tags")
      assert.include(messageOf(report), "artifact-gc retention")
      assert.deepStrictEqual(yield* tags, ["a", "b", "c"])
      // The other phases run.
      assert.isNull(report.phases.manifests?.error)
      yield* sweepBy([{ newest: 2 }])
      assert.deepStrictEqual(yield* confirm, ["retention"])
      assert.deepInclude(counts(yield* sweepBy([{ newest: 2 }]), "retention"), {
        seen: 3,
        eligible: 1,
        kept: { rule: 2, untagged: 1 }
      })
      assert.deepStrictEqual(yield* tags, ["b", "c"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("wait again after each change that removes more, and not after one that removes no more", () =>
    Effect.gen(function* () {
      yield* build("a", "b", "c", "d")
      yield* settled([{ newest: 3 }])
      assert.strictEqual((yield* sweepBy([{ newest: 3 }, { tags: ["v*"] }])).outcome, "complete")
      assert.include(messageOf(yield* sweepBy([{ newest: 2 }])), "1 (33.3 % of 3)")
      yield* confirm
      // It was confirmed for other rules.
      assert.include(messageOf(yield* sweepBy([{ newest: 1 }])), "2 (66.7 % of 3)")
      yield* confirm
      yield* sweepBy([{ newest: 1 }])
      assert.deepStrictEqual(yield* tags, ["d"])
    }).pipe(Effect.provide(world()))
  )

  it.effect("remove on without a question what they remove with each new build", () =>
    Effect.gen(function* () {
      yield* build("a", "b")
      yield* settled([{ newest: 1 }])
      for (let n = 0; n < 12; n++) {
        yield* build(...Array.from({ length: 20 }, (_, build) => `n${n}-${build}`))
        const report = yield* sweepBy([{ newest: 5 }, { newest: 1 }])
        assert.deepStrictEqual([report.outcome, (yield* tags).length], ["complete", 5])
      }
    }).pipe(Effect.provide(world({ breakerBlobs: 3 })))
  )

  it.effect("do not wait where the breaker is switched off", () =>
    Effect.gen(function* () {
      yield* build("a", "b")
      assert.strictEqual((yield* sweepBy([{ newest: 1 }])).outcome, "complete")
      assert.deepStrictEqual(yield* tags, ["b"])
    }).pipe(Effect.provide(world({ breakerPercent: 100 })))
  )
})

describe("the breaker of retention", () => {
  const many = Array.from({ length: 20 }, (_, n) => `t${String(n).padStart(2, "0")}`)

  it.effect("opens where confirmed rules would leave no tag, as when no build was pushed for long", () =>
    Effect.gen(function* () {
      const keep = [{ pushedWithin: "7 days" }]
      yield* build(...many)
      yield* settled(keep)
      yield* TestClock.adjust(8 * day)
      const report = yield* sweepBy(keep)
      assert.include(messageOf(report), "no retention rule keeps 20 (100.0 % of 20) tags")
      assert.lengthOf(yield* tags, 20)
      yield* confirm
      yield* sweepBy(keep)
      assert.lengthOf(yield* tags, 0)
    }).pipe(Effect.provide(world()))
  )

  it.effect("opens where much is removed that no push has replaced", () =>
    Effect.gen(function* () {
      const keep = [{ pushedWithin: "7 days" }]
      yield* build(...many)
      yield* settled(keep)
      yield* TestClock.adjust(7 * day - hour)
      yield* build("new")
      const report = yield* sweepBy(keep)
      assert.include(messageOf(report), "no retention rule keeps 19")
      assert.lengthOf(yield* tags, 21)
    }).pipe(Effect.provide(world({ breakerBlobs: 10 })))
  )

  it.effect("is foreseen by a dry run, which changes nothing", () =>
    Effect.gen(function* () {
      yield* build("a", "b", "c")
      const before = yield* snapshot
      const plan = yield* sweepBy([{ newest: 1 }], { dryRun: true })
      assert.deepInclude(counts(plan, "retention"), { seen: 3, eligible: 2, kept: { rule: 1 } })
      assert.deepStrictEqual(plan.phases.retention?.sample, ["library:a", "library:b"])
      assert.include(messageOf(plan), "2 (66.7 % of 3)")
      assert.deepStrictEqual(yield* snapshot, before)
      yield* sweepBy([{ newest: 1 }])
      yield* confirm
      const later = yield* sweepBy([{ newest: 1 }], { dryRun: true })
      assert.deepStrictEqual([later.outcome, messageOf(later)], ["complete", ""])
      assert.lengthOf(yield* tags, 3)
    }).pipe(Effect.provide(world()))
  )

  it.effect("ends the work under way if another collector opens it", () =>
    Effect.gen(function* () {
      const { database, rows } = yield* World
      yield* build("a", "b", "c", "d")
      yield* sweepBy([{ newest: 1 }])
      yield* confirm
      const exposure = { blobs: 1, bytes: 0, totalBlobs: 1, totalBytes: 0 }
      const opening = Effect.flatMap(Clock.currentTimeMillis, (now) =>
        rows.breakers.trip(breaker.name, now + 1, exposure)
      )
      database.next("retention.untag", hangsBefore(Effect.orDie(opening)))
      const report = yield* sweepBy([{ newest: 1 }])
      assert.deepInclude(counts(report, "retention"), { eligible: 1, stoppedBy: "failure" })
      assert.deepStrictEqual(yield* tags, ["b", "c", "d"])
      // Rules that have not removed all are not settled: what they removed was confirmed, and nothing more.
      yield* confirm
      yield* sweepBy([{ newest: 1 }])
      assert.deepStrictEqual(yield* tags, ["d"])
    }).pipe(Effect.provide(world({ batchMax: 1 })))
  )

  it.effect("judges all tags or none", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* build("a", "b", "c")
      database.next("retention.state", hangsBefore(Effect.sleep("2 hours")))
      const sweeping = yield* Effect.forkChild(sweepBy([{ newest: 1 }]))
      yield* settle
      yield* TestClock.adjust("3 hours")
      const report = yield* Fiber.join(sweeping)
      assert.deepInclude(counts(report, "retention"), { eligible: 0, stoppedBy: "time" })
      assert.lengthOf(yield* tags, 3)
    }).pipe(Effect.provide(world({ breakerPercent: 100 })))
  )
})
