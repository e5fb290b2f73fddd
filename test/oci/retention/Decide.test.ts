/** Which tags the rules keep: by age, by number, by name, by pull, and by an index. */
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { Digest } from "../../../src/domain/Digest.ts"
import { type DatedTag, decide, goneAt, keepListed } from "../../../src/oci/retention/Decide.ts"
import type { KeepRule } from "../../../src/oci/retention/RetentionRules.ts"

const hour = 3_600_000
const day = 24 * hour
const now = 1000 * day

const tag = (name: string, daysAgo: number, pulledDaysAgo: number | null = null): DatedTag => ({
  repository: "app",
  name,
  digest: Digest.make(name),
  pushedAt: now - daysAgo * day,
  pulledAt: pulledDaysAgo === null ? null : now - pulledDaysAgo * day
})

const at = { now, pullsSince: 0 }

const removed = (rules: ReadonlyArray<KeepRule>, tags: ReadonlyArray<DatedTag>, when = at) =>
  decide(rules, tags, when).flatMap(({ keptBy, tag }) => (keptBy === null ? tag.name : []))

const tags = [tag("v1", 40), tag("a", 30), tag("b", 20), tag("c", 10), tag("d", 0)]

describe("rules", () => {
  it("keep the newest, and tags of one instant together", () => {
    assert.deepStrictEqual(removed([{ newest: 2 }], tags), ["v1", "a", "b"])
    assert.deepStrictEqual(removed([{ newest: 9 }], tags), [])
    assert.deepStrictEqual(removed([{ newest: 1 }], [tag("x", 1), tag("y", 1), tag("z", 2)]), ["z"])
  })

  it("keep the newest of those that they are about, and judge no other", () => {
    const rules = [{ newest: 1, tags: ["v*"] }]
    assert.deepStrictEqual(removed(rules, [...tags, tag("v2", 5)]), ["v1", "a", "b", "c", "d"])
  })

  it("keep those that were pushed within a time, to the millisecond", () => {
    const rules = [{ pushedWithin: Duration.days(20) }]
    assert.deepStrictEqual(removed(rules, tags), ["v1", "a", "b"])
    assert.deepStrictEqual(removed(rules, tags, { ...at, now: now - 1 }), ["v1", "a"])
  })

  it("keep what any of them keeps, and say which", () => {
    const decisions = decide([{ newest: 1 }, { tags: ["v*"] }], tags, at)
    assert.deepStrictEqual(
      decisions.map(({ keptBy }) => keptBy),
      ["tags v*", null, null, null, "newest 1"]
    )
  })

  it("keep those that were pulled lately, an hour and more in doubt, and those that were just pushed", () => {
    const rules = [{ pulledWithin: Duration.days(7) }]
    const used = [
      tag("old", 40, 8),
      tag("lately", 40, 6),
      tag("doubt", 40, 7 + 2 / 24),
      tag("new", 1),
      tag("never", 9)
    ]
    assert.deepStrictEqual(removed(rules, used), ["old", "never"])
  })

  it("keep all where pulls are not recorded for that long yet", () => {
    const rules = [{ pulledWithin: Duration.days(7) }]
    for (const pullsSince of [null, now - 7 * day])
      assert.deepStrictEqual(
        decide(rules, [tag("old", 40, 8)], { now, pullsSince }).map(({ reason }) => reason),
        ["unrecorded"]
      )
  })

  it("are about no tag that belongs to a manifest by its name, nor count it", () => {
    const of = `sha256-${"a".repeat(64)}`
    const own = [of, `${of}.sig`, `${of}.att`, `${of}.sbom`].map((name) => tag(name, 1))
    assert.deepStrictEqual(removed([{ newest: 1 }], [...own, tag("x", 2)]), [])
    assert.deepStrictEqual(
      removed([{ newest: 1 }], [tag("x", 1), tag(`${of}.zip`, 2), tag("sha256-abc", 2)]),
      [`${of}.zip`, "sha256-abc"]
    )
  })
})

describe("an index that is kept", () => {
  const listed = (child: string, index: string) => ({
    repository: "app",
    digest: Digest.make(child),
    index: Digest.make(index)
  })

  it("keeps the tags of what it lists, through further indexes, and no other", () => {
    const all = [
      tag("index", 1),
      tag("inner", 5),
      tag("amd64", 5),
      tag("other", 5),
      tag("old-index", 6),
      tag("x", 6)
    ]
    const decisions = keepListed(decide([{ newest: 1 }], all, at), [
      listed("amd64", "inner"),
      listed("inner", "index"),
      listed("x", "old-index")
    ])
    assert.deepStrictEqual(
      decisions.map(({ keptBy, tag }) => [tag.name, keptBy]),
      [
        ["index", "newest 1"],
        ["inner", "the index index"],
        ["amd64", "the index index"],
        ["other", null],
        ["old-index", null],
        ["x", null]
      ]
    )
  })
})

describe("what was to be removed earlier", () => {
  it("leaves out tags that were pushed or pulled since", () => {
    const then = { ...at, now: now - 15 * day }
    assert.deepStrictEqual([...goneAt([{ newest: 1 }], tags, then)], ["v1", "a"])
    assert.deepStrictEqual([...goneAt([{ pushedWithin: Duration.days(20) }], tags, then)], ["v1"])
    const pulled = [tag("pulled", 90, 1), tag("idle", 90, 60)]
    assert.deepStrictEqual([...goneAt([{ pulledWithin: Duration.days(30) }], pulled, then)], ["idle"])
  })
})
