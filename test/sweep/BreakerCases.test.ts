/**
 * Two lists, by the default settings: ordinary days, on which no breaker may open, and losses, on which one must. A breaker
 * that cries wolf is confirmed blindly, or switched off.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import {
  artifact,
  blobKey,
  blobs,
  day,
  digest,
  drop,
  hour,
  manifest,
  refer,
  snapshot,
  stage,
  sweep,
  sweepAfter,
  untag,
  upload,
  World,
  type Wrapper,
  world
} from "../fixtures/World.ts"

const names = (prefix: string, count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => `${prefix}${String(from + i).padStart(4, "0")}`)

const tag = (name: string) => artifact(`tag of ${name}`, name)
const referenced = (all: ReadonlyArray<string>, sizeBytes = 1) =>
  Effect.forEach(all, (name) => upload(name, { sizeBytes, references: [tag(name)] }), { discard: true })
const dropped = (all: ReadonlyArray<string>) =>
  Effect.forEach(all, (name) => drop(tag(name)), { discard: true })

/** Pushes a layer as a registry does: published with a hold, and nothing else. */
const pushed = Effect.fnUntraced(function* (name: string, sizeBytes = 1) {
  const { rows } = yield* World
  const now = yield* Clock.currentTimeMillis
  yield* rows.blobs.intend([{ key: blobKey(name), digest: digest(name), expiresAt: now + day }])
  yield* stage(blobKey(name), sizeBytes)
  const pins = [{ id: `oci:library@${name}`, digest: digest(name), expiresAt: now + day }]
  yield* rows.blobs.publish(now, [
    { key: blobKey(name), digest: digest(name), sizeBytes, references: [], pins }
  ])
})

const confirm = Effect.gen(function* () {
  const { rows } = yield* World
  return yield* rows.breakers.confirm(yield* Clock.currentTimeMillis)
})

/** Sweeps every hour for so long, and returns the breakers that held something back. */
const hours = Effect.fnUntraced(function* (count: number) {
  const open = new Set<string>()
  for (let n = 0; n < count; n++) for (const name of held(yield* sweepAfter(hour))) open.add(name)
  return open
})

const held = ({
  phases
}: {
  readonly phases: Readonly<Record<string, { readonly error: unknown } | undefined>>
}) =>
  Object.entries(phases).flatMap(([name, phase]) =>
    (phase?.error as { tag?: string } | null)?.tag === "BreakerOpen" ? [name] : []
  )

const repositories = names("app", 12)

/** A build pushes its layer and its image, moves `latest` along and deletes the tag of the sixth oldest. */
const build = Effect.fnUntraced(function* (repository: string, n: number) {
  const name = `${repository}-b${n}`
  yield* pushed(`layer-${name}`, 50)
  yield* manifest(name, { layers: [`layer-${name}`, "base"], tags: [name, `${repository}-latest`] })
  yield* TestClock.adjust(1)
  if (n >= 5) yield* untag(`${repository}-b${n - 5}`)
})

/** Builds one image an hour in each of twelve repositories. Sweeps after every `every` hours. */
const continuousIntegration = (days: number, every: number) =>
  Effect.gen(function* () {
    const open = new Set<string>()
    yield* pushed("base", 200)
    for (let n = 0; n < days * 24; n++) {
      for (const repository of repositories) yield* build(repository, n)
      yield* TestClock.adjust(hour)
      if (n % every === every - 1) for (const name of held(yield* sweep())) open.add(name)
    }
    return open
  })

/** What a cache holds. */
const content = names("content", 450)

/** Evicts a third, of which nothing is left a few hours later, and fetches it again. */
const night = Effect.fnUntraced(function* (evicted: ReadonlyArray<string>) {
  yield* dropped(evicted)
  const open = yield* hours(4)
  return open
})

const fetched = Effect.gen(function* () {
  for (const name of content) {
    if (yield* refer(tag(name))) continue
    const key = blobKey(name, yield* Clock.currentTimeMillis)
    yield* upload(name, { key, references: [tag(name)] })
  }
})

const thirdOf = (night: number) => content.filter((_, index) => index % 3 === night % 3)

/** Three nights of evictions, each of which a person confirms. */
const threeNights = Effect.gen(function* () {
  yield* referenced(content)
  for (let n = 0; n < 3; n++) {
    assert.deepStrictEqual([...(yield* night(thirdOf(n)))], ["orphans"], "a new catalogue has no history")
    assert.deepStrictEqual(yield* confirm, ["orphans"])
    assert.deepStrictEqual([...(yield* hours(2))], [])
    assert.lengthOf(yield* blobs, 300)
    yield* fetched
    yield* TestClock.adjust(day - 6 * hour)
  }
})

describe("no breaker opens for", () => {
  const closed = <E>(what: string, steps: Effect.Effect<Set<string>, E, never>) =>
    it.effect(what, () => Effect.map(steps, (open) => assert.deepStrictEqual([...open], [])), 60_000)

  closed("two days of CI, swept every hour", Effect.provide(continuousIntegration(2, 1), world()))
  closed("three days of CI, swept every night", Effect.provide(continuousIntegration(3, 24), world()))

  closed(
    "the end of CI: a weekend after three days of it",
    Effect.provide(
      Effect.gen(function* () {
        yield* continuousIntegration(3, 6)
        const open = new Set<string>()
        for (let n = 0; n < 12; n++) for (const name of held(yield* sweepAfter(6 * hour))) open.add(name)
        // Five images in each repository, their layers, and the base.
        assert.lengthOf(yield* blobs, 2 * 5 * 12 + 1)
        return open
      }),
      world()
    )
  )

  closed(
    "tags that are replaced one by one while the bytes of all images shrink",
    Effect.provide(
      Effect.gen(function* () {
        const open = new Set<string>()
        for (let n = 0; n < 200; n++) {
          const name = `image-${n}`
          // Large ones first, and a handful of sweeps that count more than a few.
          yield* pushed(`layer-${name}`, n < 100 ? 1000 : 1)
          yield* manifest(name, { layers: [`layer-${name}`], tags: [name] })
          yield* TestClock.adjust(1)
          if (n >= 5) yield* untag(`image-${n - 5}`)
          yield* TestClock.adjust(20 * 60_000)
          if (n % 18 === 17) for (const one of held(yield* sweep())) open.add(one)
        }
        for (const one of yield* hours(30)) open.add(one)
        return open
      }),
      world({ breakerBlobs: 10 })
    )
  )

  closed(
    "an index of 1,000 children that are pushed by digest",
    Effect.provide(
      Effect.gen(function* () {
        const children = names("child", 1000)
        for (const child of children) yield* manifest(child)
        const open = yield* hours(3)
        yield* manifest("index", { lists: children, tags: ["v1"] })
        for (const name of yield* hours(26)) open.add(name)
        return open
      }),
      world()
    )
  )

  closed(
    "a build that moves a tag 101 times a day",
    Effect.provide(
      Effect.gen(function* () {
        for (const name of names("other", 10)) yield* manifest(name, { tags: [name] })
        for (const name of names("nightly", 102)) yield* manifest(name, { tags: ["latest"] })
        const open = yield* hours(30)
        assert.lengthOf(yield* blobs, 11)
        return open
      }),
      world()
    )
  )

  closed(
    "130 tiny blobs that never had a reference, nor for the orphans of others",
    Effect.provide(
      Effect.gen(function* () {
        yield* referenced(names("mine", 30), 1000)
        for (const name of names("tiny", 130)) yield* pushed(name, 6)
        const open = yield* hours(24)
        yield* dropped(names("mine", 5))
        for (const name of yield* hours(4)) open.add(name)
        assert.deepStrictEqual(yield* blobs, names("mine", 25, 5))
        return open
      }),
      world()
    )
  )

  closed(
    "a cache that evicts a third a day, spread over the day",
    Effect.provide(
      Effect.gen(function* () {
        yield* referenced(content)
        const open = new Set<string>()
        for (let n = 0; n < 24 * 6; n++) {
          yield* dropped(content.filter((_, index) => index % 72 === n % 72))
          yield* TestClock.adjust(hour)
          for (const name of held(yield* sweep())) open.add(name)
          if (n % 24 === 23) yield* fetched
        }
        return open
      }),
      world()
    )
  )

  closed(
    "a cache that evicts a third a night, after a person has allowed it on three days",
    Effect.provide(
      Effect.gen(function* () {
        yield* threeNights
        const open = new Set<string>()
        for (let n = 3; n < 10; n++) {
          for (const name of yield* night(thirdOf(n))) open.add(name)
          assert.lengthOf(yield* blobs, 300)
          yield* fetched
          yield* TestClock.adjust(day - 4 * hour)
        }
        return open
      }),
      world()
    )
  )
})

describe("a breaker opens for", () => {
  const opens = <E>(what: string, breaker: string, steps: Effect.Effect<Set<string>, E, never>) =>
    it.effect(what, () => Effect.map(steps, (open) => assert.deepStrictEqual([...open], [breaker])), 60_000)

  opens(
    "a reference table that was emptied",
    "orphans",
    Effect.provide(
      Effect.gen(function* () {
        yield* referenced(content)
        yield* sweep()
        yield* dropped(content)
        const open = yield* hours(4)
        assert.lengthOf(yield* blobs, 450)
        return open
      }),
      world()
    )
  )

  opens(
    "a reference table that was forgotten, with one present",
    "orphans",
    Effect.provide(
      Effect.gen(function* () {
        yield* referenced(content)
        yield* referenced(names("other", 300))
        const { state } = yield* World
        yield* sweep()
        // No trigger and no statement of ours sees it.
        for (const [id, reference] of state.references)
          if (reference.digest?.startsWith("other")) state.references.delete(id)
        const open = yield* hours(4)
        assert.lengthOf(yield* blobs, 750)
        return open
      }),
      world()
    )
  )

  const emptied = Effect.gen(function* () {
    yield* threeNights
    yield* dropped(content)
    return yield* hours(4)
  })
  opens("a table that is emptied where a third a night is usual", "orphans", Effect.provide(emptied, world()))

  const worse = Effect.gen(function* () {
    yield* threeNights
    yield* dropped(content.filter((_, index) => index % 3 !== 0))
    return yield* hours(4)
  })
  opens(
    "two thirds that are lost where one third a night is usual",
    "orphans",
    Effect.provide(worse, world())
  )

  /** History excuses a share, whatever remains. */
  const forgiving: Wrapper = (inner) => ({
    ...inner,
    breakers: {
      ...inner.breakers,
      history: (name, since) =>
        Effect.map(inner.breakers.history(name, since), (days) =>
          days.map(({ burst, day, lost }) => ({
            day,
            lost,
            total: { blobs: 0, bytes: 0 },
            burst: burst === null ? null : { ...burst, blobs: burst.totalBlobs, bytes: burst.totalBytes }
          }))
        )
    }
  })
  it.effect("which are gone where history looks at the share alone (control)", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual([...(yield* worse)], [])
      assert.lengthOf(yield* blobs, 150)
    }).pipe(Effect.provide(world({}, forgiving)))
  )

  opens(
    "the fourth third in a row that nothing replaces, although a person allowed three",
    "orphans",
    Effect.provide(
      Effect.gen(function* () {
        yield* referenced(names("data", 1500))
        let from = 0
        for (const count of [450, 300, 200]) {
          yield* dropped(names("data", count, from))
          from += count
          assert.deepStrictEqual([...(yield* hours(4))], ["orphans"])
          yield* confirm
          assert.deepStrictEqual([...(yield* hours(20))], [])
        }
        yield* dropped(names("data", 150, from))
        return yield* hours(4)
      }),
      world()
    )
  )

  opens(
    "a few each day, which nothing replaces, before half is gone",
    "orphans",
    Effect.provide(
      Effect.gen(function* () {
        yield* referenced(names("data", 1000))
        const open = new Set<string>()
        for (let n = 0; n < 20 && open.size === 0; n++) {
          yield* dropped(names("data", 60, 60 * n))
          for (const name of yield* hours(24)) open.add(name)
        }
        assert.isAbove((yield* blobs).length, 480)
        return open
      }),
      world()
    )
  )

  opens(
    "101 blobs with a quarter of the bytes",
    "orphans",
    Effect.provide(
      Effect.gen(function* () {
        yield* referenced(names("small", 1000), 10)
        yield* referenced(names("large", 101), 40)
        yield* sweep()
        yield* dropped(names("large", 101))
        const open = yield* hours(4)
        assert.lengthOf(yield* blobs, 1101)
        return open
      }),
      world()
    )
  )

  opens(
    "all tags of a registry with few images",
    "manifests",
    Effect.provide(
      Effect.gen(function* () {
        for (const name of names("image", 12)) yield* manifest(name, { tags: [name] })
        yield* sweepAfter(hour)
        for (const name of names("image", 12)) yield* untag(name)
        return yield* hours(30)
      }),
      world()
    )
  )

  opens(
    "a retention of one tag where there were thirty",
    "manifests",
    Effect.provide(
      Effect.gen(function* () {
        const all = repositories.flatMap((repository) => names(`${repository}-`, 30))
        for (const name of all) yield* manifest(name, { tags: [name] })
        yield* sweepAfter(hour)
        for (const name of all) if (!name.endsWith("0029")) yield* untag(name)
        const open = yield* hours(30)
        assert.lengthOf(yield* blobs, 360)
        return open
      }),
      world()
    )
  )

  opens(
    "101 tags of a thousand, with half of the bytes",
    "manifests",
    Effect.provide(
      Effect.gen(function* () {
        for (const name of names("large", 101)) {
          yield* upload(`layer-${name}`, { sizeBytes: 10, references: [] })
          yield* manifest(name, { layers: [`layer-${name}`], tags: [name] })
        }
        for (const name of names("small", 500)) yield* manifest(name, { tags: [name] })
        yield* sweepAfter(hour)
        for (const name of names("large", 101)) yield* untag(name)
        return yield* hours(30)
      }),
      world()
    )
  )

  opens(
    "a listing over the wrong database",
    "leftovers",
    Effect.provide(
      Effect.gen(function* () {
        for (const name of names("theirs", 30)) yield* stage(`blobs/${name}`)
        yield* TestClock.adjust(day)
        const before = (yield* snapshot).keys
        const open = yield* hours(3)
        assert.deepStrictEqual((yield* snapshot).keys, before)
        return open
      }),
      world()
    )
  )

  opens(
    "101 stale folders of another program below the upload prefix",
    "uploads",
    Effect.provide(
      Effect.gen(function* () {
        const { state } = yield* World
        state.installation.catalogueExisted = true
        const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`
        for (let n = 0; n < 101; n++) yield* stage(`uploads/${uuid(n)}/file`)
        yield* TestClock.adjust(day)
        const before = (yield* snapshot).keys
        const open = yield* hours(2)
        assert.deepStrictEqual((yield* snapshot).keys, before)
        yield* confirm
        assert.deepStrictEqual([...(yield* hours(1))], [])
        assert.deepStrictEqual((yield* snapshot).keys, [])
        return open
      }),
      world({ unannouncedWriters: "none" })
    )
  )
})

describe("one open breaker", () => {
  it.effect("stops its own phase and no other", () =>
    Effect.gen(function* () {
      for (const name of names("image", 12)) yield* manifest(name, { tags: [name] })
      yield* referenced(names("mine", 200))
      for (const name of names("image", 12)) yield* untag(name)
      yield* TestClock.adjust(day)
      yield* dropped(names("mine", 20))
      assert.deepStrictEqual([...(yield* hours(4))], ["manifests"])
      assert.lengthOf(yield* blobs, 12 + 180)
    }).pipe(Effect.provide(world()))
  )
})
