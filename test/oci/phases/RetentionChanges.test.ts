/** A sweep by retention rules judges what may have changed, in parts if that is much, and removes nothing before all is judged. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { Bounds } from "../../../src/oci/retention/Judge.ts"
import { parse, Retention } from "../../../src/oci/retention/RetentionRules.ts"
import { hangsBefore } from "../../../src/testing/Faults.ts"
import { counts, day, digest, hour, manifest, minute, sweep, World, world } from "../../fixtures/World.ts"

type Keep = ReadonlyArray<object>

const rulesOf = (keep: Keep) =>
  Result.getOrThrow(parse(JSON.stringify({ policies: [{ repositories: ["**"], keep }] })))

const sweepBy = (keep: Keep) => Effect.provideService(sweep(), Retention, Effect.succeed(rulesOf(keep)))

const swept = (keep: Keep) => Effect.map(sweepBy(keep), (report) => counts(report, "retention"))

/** Pushes tags of a repository, a minute apart. */
const push = (repository: string, ...tags: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { rows, state } = yield* World
    if (!state.manifests.has(JSON.stringify(["library", digest("image")]))) yield* manifest("image")
    const image = state.manifests.get(JSON.stringify(["library", digest("image")]))
    assert.isDefined(image)
    for (const tag of tags) {
      yield* rows.manifests.put(yield* Clock.currentTimeMillis, { ...image, repository }, [], { tags: [tag] })
      yield* TestClock.adjust(minute)
    }
  })

/** The last push is an hour ago: what is pushed shortly before a sweep is judged by the next one, too. */
const three = Effect.andThen(
  Effect.forEach(["a", "b", "c"], (repository) => push(repository, "1", "2", "3")),
  TestClock.adjust(hour)
)

const tags = Effect.map(World, ({ state }) =>
  [...state.tags.values()].map(({ name, repository }) => `${repository}:${name}`).sort()
)

const confirm = Effect.gen(function* () {
  const { rows } = yield* World
  yield* TestClock.adjust(1)
  return yield* rows.breakers.confirm(yield* Clock.currentTimeMillis)
})

const unasked = { breakerPercent: 100 }
const newest = [{ newest: 1 }]

describe("a sweep by rules that judged before", () => {
  it.effect("judges the repositories that were pushed to, and no other", () =>
    Effect.gen(function* () {
      const { database } = yield* World
      yield* three
      assert.deepInclude(yield* swept(newest), { seen: 9, eligible: 6 })
      yield* TestClock.adjust(hour)
      const before = database.count("retention.tags")
      assert.deepInclude(yield* swept(newest), { seen: 0, eligible: 0 })
      assert.strictEqual(database.count("retention.tags"), before)
      yield* push("b", "4")
      assert.deepInclude(yield* swept(newest), { seen: 2, eligible: 1 })
      assert.deepStrictEqual(yield* tags, ["a:3", "b:4", "c:3"])
    }).pipe(Effect.provide(world(unasked)))
  )

  it.effect("judges a repository when time ends what a rule keeps, and each within a day", () =>
    Effect.gen(function* () {
      yield* three
      const keep = [{ newest: 1 }, { pushedWithin: "3 hours" }]
      assert.deepInclude(yield* swept(keep), { seen: 9, eligible: 0 })
      yield* TestClock.adjust(3 * hour - 66 * minute)
      assert.deepInclude(yield* swept(keep), { seen: 6, eligible: 3 })
      assert.deepStrictEqual(yield* tags, ["a:3", "b:2", "b:3", "c:1", "c:2", "c:3"])
      yield* TestClock.adjust(day)
      assert.strictEqual((yield* swept(keep)).seen, 6)
    }).pipe(Effect.provide(world(unasked)))
  )

  it.effect("judges all again where none has looked for a day, or where the clock was ahead", () =>
    Effect.gen(function* () {
      const { state } = yield* World
      yield* three
      yield* swept([{ newest: 3 }])
      yield* TestClock.adjust(day + 1)
      assert.strictEqual((yield* swept([{ newest: 3 }])).seen, 9)
      state.judging.progress = { ...state.judging.progress, lookedAt: (yield* Clock.currentTimeMillis) + day }
      assert.strictEqual((yield* swept([{ newest: 3 }])).seen, 9)
    }).pipe(Effect.provide(world(unasked)))
  )
})

describe("a registry that one sweep cannot judge", () => {
  const bounded = (judged: number, removed = 99) => Effect.provideService(Bounds, { judged, removed })

  it.effect("is judged over several sweeps, and loses no tag before the last of them", () =>
    Effect.gen(function* () {
      yield* three
      assert.deepInclude(yield* swept(newest).pipe(bounded(0)), { seen: 0, stoppedBy: "count" })
      const { state } = yield* World
      // A page of tags is judged as a whole, so what is left is another page.
      const key = state.judging.key
      for (const repository of ["a", "b"]) {
        assert.strictEqual((yield* tags).length, 9)
        const row = { repository, dueAt: 2 ** 42, tags: 3, removable: 2, stricter: 0, confirmed: 0 }
        const { rows } = yield* World
        const { lookedAt } = state.judging.progress
        assert.isTrue(
          yield* rows.retention.note(yield* Clock.currentTimeMillis, key ?? "", [row], {
            listedTo: repository,
            lookedAt
          })
        )
      }
      yield* TestClock.adjust(10 * minute)
      // Pushes before the first of these sweeps are known by then, so only the last repository is judged.
      assert.deepInclude(yield* swept(newest).pipe(bounded(99)), { seen: 3, eligible: 6 })
      assert.deepStrictEqual(yield* tags, ["a:3", "b:3", "c:3"])
    }).pipe(Effect.provide(world(unasked)))
  )

  it.effect("loses no more tags in a sweep than its bound, and the rest in the next", () =>
    Effect.gen(function* () {
      yield* three
      assert.deepInclude(yield* swept(newest).pipe(bounded(99, 4)), { eligible: 4, stoppedBy: "count" })
      assert.strictEqual((yield* tags).length, 5)
      assert.deepInclude(yield* swept(newest).pipe(bounded(99, 4)), { eligible: 2, stoppedBy: null })
      assert.deepStrictEqual(yield* tags, ["a:3", "b:3", "c:3"])
    }).pipe(Effect.provide(world(unasked)))
  )
})

describe("between the judgement and the removal", () => {
  it.effect("a push that displaces more tags than were judged makes its repository wait", () =>
    Effect.gen(function* () {
      const context = yield* World
      yield* three
      const pushing = Effect.provideService(push("b", "4", "5"), World, context)
      context.database.next("retention.removable", hangsBefore(Effect.orDie(pushing)))
      assert.deepInclude(yield* swept(newest), { eligible: 4, kept: { changed: 4, rule: 3, untagged: 4 } })
      assert.deepStrictEqual(yield* tags, ["a:3", "b:1", "b:2", "b:3", "b:4", "b:5", "c:3"])
      assert.deepInclude(yield* swept(newest), { eligible: 4 })
      assert.deepStrictEqual(yield* tags, ["a:3", "b:5", "c:3"])
    }).pipe(Effect.provide(world(unasked)))
  )

  it.effect("a collector with other rules keeps this one from removing and from settling", () =>
    Effect.gen(function* () {
      const { database, rows, state } = yield* World
      yield* three
      const begin = Effect.flatMap(Clock.currentTimeMillis, (now) =>
        rows.retention.begin(now, "others", { from: 0, to: now })
      )
      database.next("retention.sums", hangsBefore(Effect.orDie(begin)))
      assert.deepInclude(yield* swept(newest), { seen: 9, eligible: 0 })
      assert.strictEqual((yield* tags).length, 9)
      assert.strictEqual(state.retention.accepted, null)
      database.next("retention.note", hangsBefore(Effect.orDie(begin)))
      assert.deepInclude(yield* swept(newest), { eligible: 0 })
      assert.strictEqual((yield* tags).length, 9)
    }).pipe(Effect.provide(world(unasked)))
  )
})

describe("collectors with different files of rules", () => {
  it.effect("ask before one removes what the other keeps, each time", () =>
    Effect.gen(function* () {
      yield* three
      const strict = sweepBy([{ newest: 1 }])
      const loose = sweepBy([{ newest: 2 }])
      const asks = (report: Effect.Success<typeof strict>) =>
        report.phases.retention?.error?.tag === "BreakerOpen"
      assert.isTrue(asks(yield* loose))
      yield* confirm
      assert.isFalse(asks(yield* loose))
      assert.strictEqual((yield* tags).length, 6)
      assert.isTrue(asks(yield* strict))
      assert.strictEqual((yield* tags).length, 6)
      yield* confirm
      // The other one takes its rules up again before the confirmed rules are.
      assert.isFalse(asks(yield* loose))
      assert.isTrue(asks(yield* strict))
      yield* confirm
      assert.isFalse(asks(yield* strict))
      assert.strictEqual((yield* tags).length, 3)
    }).pipe(Effect.provide(world()))
  )
})
