/** What the entry points export is documented, and they hide no error and no type that they mention. */
import { assert, describe, it } from "vitest"
import { withCompiler } from "../../tools/api/Compiler.ts"
import {
  bareMembers,
  exportedNames,
  fullName,
  hiddenTypes,
  isSelfEvident,
  opaque
} from "../../tools/api/Surface.ts"

describe("the public surface", { timeout: 60_000 }, () => {
  /** One compiler answers all questions: to start one takes seconds. */
  const found = withCompiler("tsconfig.build.json", "src", (compiler) => {
    const names = exportedNames(compiler)
    return {
      names: names.map(fullName),
      undocumented: names.filter(({ symbol }) => compiler.docsOf(symbol) === "").map(fullName),
      bare: names.flatMap((name) =>
        bareMembers(compiler, name.symbol)
          .filter((member) => !isSelfEvident(name, member))
          .map((member) => `${fullName(name)}: ${member}`)
      ),
      hidden: hiddenTypes(compiler, names, opaque),
      hiddenInOpaque: hiddenTypes(compiler, names, new Set())
    }
  })

  it("has a docstring for each name", () => {
    assert.isAbove(found.names.length, 250)
    assert.deepStrictEqual(found.undocumented, [])
  })

  it("has a docstring for each member that does not explain itself", () => {
    assert.deepStrictEqual(found.bare, [])
  })

  it("exports each error that a function may fail with", () => {
    // Also those of the verbs that hosts should not call.
    const errors = [...found.hidden, ...found.hiddenInOpaque].filter(({ isError }) => isError)
    assert.deepStrictEqual(errors, [])
  })

  it("exports each type that a signature mentions", () => {
    assert.deepStrictEqual(
      found.hidden.map(({ name, via }) => `${name}: ${via}`),
      []
    )
  })

  it("control: finds the types that only the verbs of a database mention", () => {
    assert.include(
      found.hiddenInOpaque.map(({ name }) => name),
      "PurgePage"
    )
  })
})
