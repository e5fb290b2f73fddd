/** Rules by repository: what they allow, and which lines are none. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { everyUser, parse, type Right } from "../../../src/oci/access/Rules.ts"

const rules = (text: string) => Result.getOrThrow(parse(text))

const problems = (text: string) => {
  const parsed = parse(text)
  return Result.isFailure(parsed) ? parsed.failure : []
}

const text = `
# who        rights       repositories
anonymous    pull         public/**       # everybody
*            pull         shared team/*
ci           pull,push    team/* tools/**
ann          all          **
`

describe("rules", () => {
  it.each<[string | null, Right, string, boolean]>([
    [null, "pull", "public/a", true],
    [null, "pull", "public/a/b", true],
    [null, "pull", "public", false],
    [null, "push", "public/a", false],
    [null, "pull", "shared", false],
    ["bob", "pull", "public/a", true],
    ["bob", "pull", "shared", true],
    ["bob", "pull", "shared/x", false],
    ["bob", "pull", "team/a", true],
    ["bob", "push", "team/a", false],
    ["ci", "push", "team/a", true],
    ["ci", "push", "team/a/b", false],
    ["ci", "push", "tools/a/b", true],
    ["ci", "push", "xteam/a", false],
    ["ci", "delete", "team/a", false],
    ["ann", "delete", "any/thing", true],
    ["anonymous", "push", "public/a", false]
  ])("let %s %s %s: %s", (user, right, repository, allowed) => {
    assert.strictEqual(rules(text).allow(user, right, repository), allowed)
  })

  it("give a right everywhere only by **, because a repository may exist tomorrow", () => {
    const { allowEverywhere } = rules(text)
    assert.isTrue(allowEverywhere("ann", "pull"))
    assert.isFalse(allowEverywhere("ci", "push"))
    assert.isFalse(rules("ci pull */*").allowEverywhere("ci", "pull"))
  })

  it("match a * with any part of a name and never with a slash, and a dot with nothing but a dot", () => {
    const allows = (pattern: string, repository: string) =>
      rules(`ci pull ${pattern}`).allow("ci", "pull", repository)
    assert.isTrue(allows("team-*/app", "team-7/app"))
    assert.isFalse(allows("team-*/app", "team-7/x/app"))
    assert.isFalse(allows("a.b", "axb"))
    assert.isTrue(allows("**/app", "x/y/app"))
    assert.isFalse(allows("**/app", "app"))
  })

  it("of an empty file allow nothing", () => {
    const { allow, hasAnonymous } = rules("# nothing yet\n")
    assert.isFalse(hasAnonymous)
    assert.isFalse(allow("ann", "pull", "a"))
  })

  it("are refused with the number of each wrong line", () => {
    assert.lengthOf(problems("ci pull\nci read a\n\nci pull Team/a\nanonymous pull,push a\nci pull a//b"), 5)
    assert.match(problems("x\nci read a")[1] ?? "", /^line 2: no right is named "read"/)
    assert.match(problems("ci pull Team/a")[0] ?? "", /"Team\/a" is no pattern/)
    assert.match(problems("anonymous all **")[0] ?? "", /may pull, and nothing else/)
  })
})

describe("without rules", () => {
  it("users may do everything, and clients without credentials what is set", () => {
    assert.isTrue(everyUser("none").allow("ann", "delete", "a"))
    assert.isFalse(everyUser("none").allow(null, "pull", "a"))
    assert.isTrue(everyUser("pull").allow(null, "pull", "a"))
    assert.isFalse(everyUser("pull").allow(null, "push", "a"))
    assert.isTrue(everyUser("all").allow(null, "delete", "a"))
  })
})
