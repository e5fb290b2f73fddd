/**
 * Sweeps judge only what may have changed. Over random histories they remove what the definition of the rules says, which judges
 * all tags each time, and ask a person whenever a dry run, which also judges all, says so.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Layer, Result } from "effect"
import { TestClock } from "effect/testing"
import { Digest } from "../../../src/domain/Digest.ts"
import { manifestId, type RegistryState, type TagRow } from "../../../src/oci/database/Memory.ts"
import { retention } from "../../../src/oci/phases/Retention.ts"
import { recordedWithinMillis } from "../../../src/oci/retention/Decide.ts"
import { Bounds } from "../../../src/oci/retention/Judge.ts"
import {
  matchesTag,
  parse,
  Retention,
  type RetentionRules
} from "../../../src/oci/retention/RetentionRules.ts"
import * as MemoryStorage from "../../../src/storage/Memory.ts"
import { Sweep } from "../../../src/sweep/Sweep.ts"
import * as AllDatabases from "../../fixtures/Database.ts"
import { Database } from "../../fixtures/Database.ts"

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

/** A linear congruential generator. */
const diceOf = (seed: number) => {
  let state = seed * 7919 + 1
  return (sides: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * sides)
  }
}

type Dice = ReturnType<typeof diceOf>

const policies: ReadonlyArray<object> = [
  { repositories: ["**"], keep: [{ newest: 2 }] },
  { repositories: ["a/*"], keep: [{ newest: 1 }, { tags: ["v1", "l*"] }] },
  { repositories: ["a/*", "b"], keep: [{ pushedWithin: "7 hours" }, { newest: 1, tags: ["v*"] }] },
  { repositories: ["**"], keep: [{ pulledWithin: "9 hours" }] },
  {
    repositories: ["a/x"],
    keep: [
      { pulledWithin: "5 hours", tags: ["t*"] },
      { pushedWithin: "2 days", tags: ["v*"] }
    ]
  }
]

const rulesOf = (dice: Dice): RetentionRules =>
  Result.getOrThrow(
    parse(
      JSON.stringify({
        policies: [
          policies[dice(policies.length)],
          ...(dice(2) === 0 ? [policies[dice(policies.length)]] : [])
        ]
      })
    )
  )

const repositories = ["a/x", "a/y", "b", "c"]
const names = ["t1", "t2", "t3", "v1", "v2", "latest", `sha256-${"a".repeat(64)}.sig`]

/** The definition, in the words of docs/retention.md: the tags that are removed at an instant. */
const definition = (rules: RetentionRules, state: RegistryState, now: number): ReadonlyArray<string> => {
  const isAttached = (name: string) => name.startsWith("sha256-")
  const namedBy = ({ repositories }: RetentionRules["policies"][number], repository: string) =>
    repositories.some(
      (pattern) =>
        pattern === "**" || pattern === repository || (pattern === "a/*" && repository.startsWith("a/"))
    )
  const pushed = (tag: TagRow) => tag.pushedAt ?? now
  return repositories.flatMap((repository) => {
    const tags = [...state.tags.values()].filter((tag) => tag.repository === repository)
    const keep = rules.policies
      .filter((policy) => namedBy(policy, repository))
      .flatMap((policy) => policy.keep)
    if (keep.length === 0) return []
    const keeps = (tag: TagRow) =>
      isAttached(tag.name) ||
      keep.some(({ newest, pulledWithin, pushedWithin, tags: patterns = ["*"] }) => {
        if (!matchesTag(patterns, tag.name)) return false
        const rivals = tags.filter(({ name }) => !isAttached(name) && matchesTag(patterns, name))
        if (newest !== undefined) return rivals.filter((one) => pushed(one) > pushed(tag)).length < newest
        if (pushedWithin !== undefined) return now - pushed(tag) < Duration.toMillis(pushedWithin)
        if (pulledWithin === undefined) return true
        const within = Duration.toMillis(pulledWithin)
        const { pullsSince } = state.retention
        const used = Math.max(pushed(tag), (tag.pulledAt ?? -Infinity) + recordedWithinMillis)
        return now - used < within || pullsSince === null || now - pullsSince - recordedWithinMillis < within
      })
    const kept = new Set(tags.filter(keeps).map(({ digest }) => digest))
    const listed = new Set<string>()
    for (let size = -1; size !== kept.size; ) {
      size = kept.size
      for (const { digest } of tags)
        for (const row of state.manifests.values())
          if (row.repository === repository && kept.has(row.digest))
            if (row.references.some((one) => one.digest === digest)) {
              listed.add(digest)
              kept.add(digest)
            }
    }
    return tags
      .filter((tag) => !keeps(tag) && !listed.has(tag.digest))
      .map(({ name }) => `${repository}:${name}`)
      .sort()
  })
}

/** A client pushes a tag, of an image or of an index of two images. */
const push = (state: RegistryState, dice: Dice, now: number): void => {
  const repository = repositories[dice(4)] ?? "b"
  const name = names[dice(names.length)] ?? "t1"
  const digest = Digest.make(`m${dice(6)}`)
  const lists = ["m4", "m5"].includes(digest) ? [`m${dice(3)}`, `m${dice(5)}`] : []
  const id = manifestId(repository, digest)
  state.manifests.set(id, {
    repository,
    digest,
    mediaType: "m",
    sizeBytes: 1,
    artifactType: null,
    annotations: null,
    subject: null,
    references:
      state.manifests.get(id)?.references ??
      lists.map((one) => ({ digest: Digest.make(one), kind: "manifest" })),
    untaggedAt: null
  })
  const known = state.tags.get(manifestId(repository, name))
  const moved = known?.digest === digest ? 0 : 1
  const pushedAt = Math.max(now, (known?.pushedAt ?? -Infinity) + moved)
  state.tags.set(manifestId(repository, name), { ...known, repository, name, digest, pushedAt })
}

interface Stage {
  readonly state: RegistryState
  readonly dice: Dice
  readonly rules: RetentionRules
}

const sweepBy = (rules: RetentionRules, dryRun = false) =>
  Effect.gen(function* () {
    const report = yield* (yield* Sweep).once({ dryRun })
    return report.phases.retention
  }).pipe(Effect.provideService(Retention, Effect.succeed(rules)))

const tagsOf = ({ tags }: RegistryState) =>
  [...tags.values()].map(({ name, repository }) => `${repository}:${name}`)

/** Some pushes and pulls. Deletions by clients, too, where `deletes`. */
const change = Effect.fnUntraced(function* ({ dice, state }: Stage, deletes: boolean) {
  const now = yield* Clock.currentTimeMillis
  const { retention: verbs } = yield* Database
  for (let n = dice(4); n > 0; n--) push(state, dice, now)
  if (dice(3) === 0)
    yield* verbs.record(
      now,
      [
        {
          repository: repositories[dice(4)] ?? "b",
          name: { _tag: "Tag", tag: names[dice(6)] ?? "t1" },
          at: now
        }
      ],
      { everyMillis: hour, isComplete: dice(9) > 0 }
    )
  // A replica of an older version moves a tag, which then has no date.
  const [id, row] = [...state.tags][dice(40)] ?? []
  if (id !== undefined && row !== undefined && dice(4) === 0) {
    const { pushedAt: _, ...undated } = row
    state.tags.set(id, undated)
  }
  if (deletes && dice(3) === 0) state.tags.delete([...state.tags.keys()][dice(state.tags.size)] ?? "")
})

const staged = (
  seed: number,
  breakerPercent: number,
  steps: (stage: Stage) => Effect.Effect<void, unknown, Sweep | Database>
) =>
  Effect.gen(function* () {
    const state = AllDatabases.emptyState()
    state.remembered.held = true
    const dice = diceOf(seed)
    const settings = { breakerPercent, breakerBlobs: 2, presence: Duration.weeks(500), phases: [retention] }
    yield* TestClock.setTime(1000 * day)
    const layer = Sweep.layerUnchecked(settings).pipe(
      Layer.provideMerge(
        Layer.merge(AllDatabases.inMemory(state), MemoryStorage.layerOf(MemoryStorage.emptyState()))
      )
    )
    yield* steps({ state, dice, rules: rulesOf(dice) }).pipe(Effect.provide(layer))
  })

const seeds = (count: number) => Array.from({ length: count }, (_, seed) => seed)

describe("over random histories, a sweep", () => {
  it.effect("removes what the definition says, at each instant, where clients only push and pull", () =>
    Effect.forEach(
      seeds(16),
      (seed) =>
        staged(seed, 100, (stage) =>
          Effect.gen(function* () {
            for (let step = 0; step < 25; step++) {
              yield* change(stage, false)
              yield* TestClock.adjust([1, minute, hour, 3 * hour, 2 * day][stage.dice(5)] ?? 0)
              const doomed = definition(stage.rules, stage.state, yield* Clock.currentTimeMillis)
              const before = tagsOf(stage.state)
              // Dating a tag may begin the record of pulls anew, so a sweep that does may keep more.
              const isDated = [...stage.state.tags.values()].every(({ pushedAt }) => pushedAt !== undefined)
              yield* sweepBy(stage.rules)
              const after = new Set(tagsOf(stage.state))
              if (!isDated) continue
              assert.deepStrictEqual(
                before.filter((tag) => !after.has(tag)).sort(),
                [...doomed].sort(),
                `seed ${seed}, step ${step}`
              )
            }
          })
        ),
      { discard: true }
    )
  )

  it.effect("removes nothing else in parts, and all of it within a day, where clients also delete", () =>
    Effect.forEach(
      seeds(10),
      (seed) =>
        staged(seed, 100, (stage) =>
          Effect.gen(function* () {
            const swept = Effect.gen(function* () {
              const doomed = new Set(definition(stage.rules, stage.state, yield* Clock.currentTimeMillis))
              const before = tagsOf(stage.state)
              yield* sweepBy(stage.rules)
              const after = new Set(tagsOf(stage.state))
              for (const tag of before.filter((one) => !after.has(one)))
                assert.include([...doomed], tag, `seed ${seed}`)
            })
            for (let step = 0; step < 20; step++) {
              yield* change(stage, true)
              yield* TestClock.adjust(1 + stage.dice(2) * hour)
              yield* swept
            }
            for (let step = 0; step < 25; step++) yield* Effect.andThen(TestClock.adjust(hour), swept)
            for (let step = 0; step < 25; step++) yield* swept
            const left = definition(stage.rules, stage.state, yield* Clock.currentTimeMillis)
            assert.deepStrictEqual(left, [], `seed ${seed}`)
          }).pipe(Effect.provideService(Bounds, { judged: 1, removed: 2 }))
        ),
      { discard: true }
    )
  )

  const numbers = (phase: { readonly error: { readonly message: string } | null } | undefined) =>
    /keeps (\d+)/.exec(phase?.error?.message ?? "")?.[1] ?? null

  it.effect("asks a person when a dry run says so, about as many tags", () =>
    Effect.gen(function* () {
      const asked = new Set<string | null>()
      for (const seed of seeds(24))
        yield* staged(seed, 20, (stage) =>
          Effect.gen(function* () {
            const { breakers } = yield* Database
            let { rules } = stage
            for (let step = 0; step < 15; step++) {
              yield* change(stage, false)
              yield* TestClock.adjust([minute, hour, 2 * day][stage.dice(3)] ?? 0)
              if (stage.dice(6) === 0) rules = rulesOf(stage.dice)
              const isDated = [...stage.state.tags.values()].every(({ pushedAt }) => pushedAt !== undefined)
              const foreseen = yield* sweepBy(rules, true)
              const found = yield* sweepBy(rules)
              if (!isDated) continue
              const where = `seed ${seed}, step ${step}`
              assert.strictEqual(numbers(found), numbers(foreseen), where)
              if (found?.error === null) assert.strictEqual(found.eligible, foreseen?.eligible, where)
              asked.add(numbers(found))
              if (found?.error !== null && stage.dice(2) === 0) {
                yield* TestClock.adjust(stage.dice(2))
                yield* breakers.confirm(yield* Clock.currentTimeMillis)
              }
            }
          })
        )
      assert.isAbove(asked.size, 5)
      assert.isTrue(asked.has(null))
    })
  )
})
