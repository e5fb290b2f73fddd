/** Versions, licences and changes of a release. */
import { assert, describe, it } from "vitest"
import { type Component, licencesOf } from "../../tools/release/Licences.ts"
import { otherVersions, sectionOf, version } from "../../tools/release/Versions.ts"

describe("the version", () => {
  it("of package.json is that of the program, the lock file and the chart", () => {
    assert.match(version(), /^\d+\.\d+\.\d+/)
    assert.deepStrictEqual(otherVersions(), [])
  })
})

describe("a licence", () => {
  const refused = (...licenses: NonNullable<Component["licenses"]>) =>
    licencesOf([{ name: "it", version: "1.0.0", licenses }]).refused

  it("that asks for a notice is permitted", () => {
    assert.deepStrictEqual(refused({ license: { id: "MIT" } }), [])
    assert.deepStrictEqual(refused({ expression: "(MIT OR GPL-3.0-only)" }), [])
    assert.deepStrictEqual(refused({ expression: "MIT AND Apache-2.0" }), [])
  })

  it("that is unknown, or asks for more, is refused by the package's name", () => {
    assert.deepStrictEqual(refused(), ["it 1.0.0: unknown"])
    assert.deepStrictEqual(refused({ license: { id: "GPL-3.0-only" } }), ["it 1.0.0: GPL-3.0-only"])
    assert.deepStrictEqual(refused({ expression: "MIT AND AGPL-3.0" }), ["it 1.0.0: MIT AND AGPL-3.0"])
    assert.deepStrictEqual(refused({ license: { name: "SEE LICENSE IN x" } }), ["it 1.0.0: SEE LICENSE IN x"])
  })
})

describe("the section of a changelog", () => {
  const changelog = "# Changelog\n\n## Unreleased\n\n- new\n\n## [1.2.0]\n\n- old\n"

  it("is that of the version, or else what is not released", () => {
    assert.strictEqual(sectionOf(changelog, "1.2.0"), "## [1.2.0]\n\n- old")
    assert.strictEqual(sectionOf(changelog, "1.3.0"), "## Unreleased\n\n- new")
    assert.isNull(sectionOf("# Changelog\n", "1.3.0"))
  })
})
