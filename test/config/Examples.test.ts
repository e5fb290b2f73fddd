/** The TypeScript programs of the documentation, as the compiler reads them. */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const root = fileURLToPath(new URL("../../", import.meta.url))
const text = (path: string): string => readFileSync(join(root, path), "utf8")

/** Declarations that the time-travel example assumes. */
const preamble = `import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { MemoryDatabase, MemoryStorage, Sweep } from "artifact-gc"
declare const state: MemoryDatabase.State
`

const project = (folder: string) => ({
  extends: join(root, "tsconfig.json"),
  compilerOptions: {
    // An example may end with an expression.
    noUnusedLocals: false,
    typeRoots: [join(root, "node_modules/@types")],
    plugins: [],
    paths: Object.fromEntries(
      Object.entries(exported()).map(([name, entry]) => [
        join("artifact-gc", name),
        [relative(folder, join(root, sourceOf(entry)))]
      ])
    )
  },
  include: ["*.ts"]
})

interface Entry {
  readonly types: string
}

const exported = () =>
  (JSON.parse(text("package.json")) as { readonly exports: Readonly<Record<string, Entry>> }).exports

const sourceOf = ({ types }: Entry): string => types.replace("./dist/", "src/").replace(".d.ts", ".ts")

describe("the README", () => {
  it("shows programs that the compiler accepts", { timeout: 60_000 }, () => {
    const blocks = ["README.md", "docs/library.md"].flatMap((path) =>
      [...text(path).matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code ?? "")
    )
    assert.lengthOf(blocks, 6)
    const folder = mkdtempSync(join(tmpdir(), "readme-"))
    try {
      for (const [i, code] of blocks.entries())
        writeFileSync(join(folder, `block${i}.ts`), code.includes("import ") ? code : preamble + code)
      writeFileSync(join(folder, "package.json"), '{"type":"module"}')
      writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(project(folder)))
      symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
      const tsc = join(root, "node_modules/typescript/bin/tsc")
      const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" })
      assert.strictEqual(status, 0, stdout)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
