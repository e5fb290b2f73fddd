/**
 * The TypeScript blocks of the documentation and of docstrings: the compiler accepts each of them, those marked `run` run,
 * and those marked `test` pass. docs/library.md explains the marks.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { fileAt, root } from "../../tools/Repository.ts"
import { docstringSnippetsOf, fileNameOf, type Snippet, snippetsOf } from "../../tools/Snippets.ts"
import { assumed, importsOf } from "./DocstringNames.ts"

/** The generated reference repeats docstrings, whose blocks are fragments. */
const isGenerated = (page: string): boolean => page.startsWith("docs/api/")

const pages = ["", "docs", "examples", "verify/bench"].flatMap((folder) =>
  readdirSync(fileAt(folder), { recursive: folder !== "", encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((page) => page.endsWith(".md") && !isGenerated(page))
)

const sources = readdirSync(fileAt("src"), { recursive: true, encoding: "utf8" })
  .map((name) => join("src", name))
  .filter((path) => path.endsWith(".ts"))

const docstrings = sources.flatMap((path) =>
  docstringSnippetsOf(path, readFileSync(fileAt(path), "utf8"), (code) => {
    const around = assumed[path] ?? ""
    return `${importsOf(`${code}\n${around}`)}; ${around}`
  })
)

const snippets = [
  ...pages.flatMap((page) => snippetsOf(page, readFileSync(fileAt(page), "utf8"))),
  ...docstrings
]

// Below the repository, where packages are found.
mkdirSync(fileAt(".out"), { recursive: true })
const folder = mkdtempSync(fileAt(".out/snippets-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const fileOf = (snippet: Snippet): string => join(folder, fileNameOf(snippet))
for (const snippet of snippets) writeFileSync(fileOf(snippet), snippet.code)

describe("the documentation's TypeScript", () => {
  it("assumes names only for docstrings that have a block", () => {
    const pages = new Set(docstrings.map(({ page }) => page))
    assert.deepStrictEqual(
      Object.keys(assumed).filter((path) => !pages.has(path)),
      []
    )
  })

  it("has imports, in the block or in a comment above it", () => {
    const bare = snippets.flatMap(({ isModule, line, page }) => (isModule ? [] : [`${page}:${line}`]))
    assert.deepStrictEqual(bare, [])
  })

  it("compiles", { timeout: 60_000 }, () => {
    assert.isAtLeast(snippets.length - docstrings.length, 14)
    assert.isAtLeast(docstrings.length, 15)
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: relative(folder, fileAt("tsconfig.json")),
        // An example may end with an expression, or declare what it does not use.
        compilerOptions: { noUnusedLocals: false, plugins: [] },
        include: ["*.ts"]
      })
    )
    const tsc = fileAt("node_modules/typescript/bin/tsc")
    const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", folder], {
      encoding: "utf8",
      cwd: root
    })
    assert.strictEqual(status, 0, stdout)
  })

  for (const snippet of snippets.filter(({ use }) => use === "run")) {
    it(`runs: ${snippet.page}:${snippet.line}`, async () => void (await import(fileOf(snippet))))
  }
})

for (const snippet of snippets.filter(({ use }) => use === "test")) {
  describe(`${snippet.page}:${snippet.line}`, async () => void (await import(fileOf(snippet))))
}
