/** The file of retention rules: what it may say, and what is told of mistakes. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Result } from "effect"
import {
  canonical,
  describe as inWords,
  matchesTag,
  parse,
  rulesFor
} from "../../../src/oci/retention/RetentionRules.ts"

const file = {
  policies: [
    {
      repositories: ["ci/**", "team/*"],
      keep: [{ newest: 10, tags: ["build-*"] }, { pushedWithin: "7 days" }, { tags: ["v*", "latest"] }]
    },
    { repositories: ["ci/app"], keep: [{ pulledWithin: "12 hours" }] }
  ]
}

const read = (value: unknown) => Result.getOrThrow(parse(JSON.stringify(value)))

const problems = (value: unknown): ReadonlyArray<string> =>
  Result.match(parse(typeof value === "string" ? value : JSON.stringify(value)), {
    onSuccess: () => [],
    onFailure: (found) => found
  })

const policy = (change: object) => ({ policies: [{ repositories: ["a"], keep: [{ newest: 1 }], ...change }] })

describe("a file of retention rules", () => {
  it("is read, and all policies that name a repository count", () => {
    const rules = read(file)
    const words = (repository: string) => rulesFor(rules, repository)?.map(inWords) ?? null
    assert.deepStrictEqual(words("team/x"), ["newest 10, tags build-*", "pushed within 7d", "tags v* latest"])
    assert.deepStrictEqual(words("ci/app")?.at(-1), "pulled within 12h")
    assert.lengthOf(words("ci/app") ?? [], 4)
    assert.isNull(words("team/x/y"))
    assert.isNull(words("public"))
  })

  it("is the same text after it was noted and read again", () => {
    const text = canonical(read(file))
    assert.strictEqual(canonical(Result.getOrThrow(parse(text))), text)
    const [, other] = read(file).policies
    assert.strictEqual(Duration.toMillis(other?.keep[0]?.pulledWithin ?? Duration.zero), 12 * 3_600_000)
  })

  it("is refused with each mistake and its place", () => {
    assert.match(problems("{")[0] ?? "", /^it is not JSON: /)
    assert.deepStrictEqual(problems([]), ['write an object with a list "policies"'])
    assert.deepStrictEqual(problems({ policies: [], polices: 1 }), [
      "polices: no such member; did you mean policies?"
    ])
    const cases: ReadonlyArray<readonly [object, RegExp]> = [
      [{ repositories: [] }, /^policies\[0\]\.repositories: write a list of at least one/],
      [{ repositories: ["Team/*"] }, /"Team\/\*" is not a pattern of repositories/],
      [{ keep: [] }, /^policies\[0\]\.keep: write a list of at least one rule; without one every tag/],
      [{ keep: undefined }, /^policies\[0\]\.keep: write a list/],
      [{ keep: [{}] }, /^policies\[0\]\.keep\[0\]: write an object with at least one of/],
      [{ keep: [{ newst: 1 }] }, /keep\[0\]\.newst: no such member; did you mean newest\?/],
      [{ keep: [{ newest: 0 }] }, /keep\[0\]\.newest: write a whole number of at least 1/],
      [
        { keep: [{ newest: 1, pushedWithin: "1 day" }] },
        /has newest and pushedWithin; write a rule for each/
      ],
      [{ keep: [{ pushedWithin: "soon" }] }, /pushedWithin: write a time of at least a minute/],
      [{ keep: [{ pushedWithin: "5 seconds" }] }, /pushedWithin: write a time of at least a minute/],
      [{ keep: [{ pulledWithin: 30 }] }, /pulledWithin: write a time of at least a minute with its unit/],
      [{ keep: [{ tags: [] }] }, /tags: write a list of at least one pattern/],
      [{ keep: [{ tags: ["a/b"] }] }, /tags: "a\/b" is not a pattern of tags/],
      [{ keep: "all" }, /keep: write a list/]
    ]
    for (const [change, expected] of cases) assert.match(problems(policy(change)).join("\n"), expected)
    assert.lengthOf(problems({ policies: [1, policy({}).policies[0]] }), 1)
  })

  it("has patterns of tags in which a dot is a dot and a star any text", () => {
    assert.isTrue(matchesTag(["v*"], "v1.2"))
    assert.isTrue(matchesTag(["x", "1.*"], "1.2"))
    assert.isFalse(matchesTag(["1.*"], "112"))
    assert.isFalse(matchesTag(["v*"], "xv1"))
  })
})
