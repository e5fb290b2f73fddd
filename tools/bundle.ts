/**
 * Bundles the entry points of the built package, for the package alone. Node loads the bundled form, which is ten files
 * instead of 200. Bundlers of apps load the modules, as the compiler wrote them: only those can be left out one by one.
 * Every package stays external. docs/decisions/0043-bundled-entry-points.md has the numbers.
 */
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { rolldown } from "rolldown"
import { runProgram } from "./Program.ts"
import { fileAt } from "./Repository.ts"

interface Manifest {
  readonly exports: Readonly<Record<string, { readonly module: string; readonly default: string }>>
}

const dist = fileAt("dist")

/** Below `dist`, as package.json has it. The program takes the place of its compiled module. */
const folder = "bundled"

const program = "main"

/** Returns the sources of the entry points, by their names below `dist`, without `.js`. */
const entries = (): Record<string, string> => {
  const { exports } = JSON.parse(readFileSync(fileAt("package.json"), "utf8")) as Manifest
  const names = Object.values(exports).map((entry) => {
    const name = entry.module.replace(/^\.\/dist\//, "").replace(/\.js$/, "")
    if (entry.default !== `./dist/${folder}/${name}.js`) throw new Error(`package.json: ${entry.default}`)
    return name
  })
  return Object.fromEntries([...names, program].map((name) => [name, fileAt(`src/${name}.ts`)]))
}

runProgram(async () => {
  rmSync(join(dist, folder), { recursive: true, force: true })
  const bundle = await rolldown({
    input: entries(),
    platform: "node",
    tsconfig: fileAt("tsconfig.build.json"),
    external: (id) => !/^[./]/.test(id)
  })
  await bundle.write({
    dir: dist,
    format: "esm",
    sourcemap: true,
    // The package has the sources once, below `src`.
    sourcemapExcludeSources: true,
    entryFileNames: ({ name }) => (name === program ? `${program}.js` : `${folder}/[name].js`),
    chunkFileNames: `${folder}/chunks/[name]-[hash].js`,
    comments: { annotation: true, legal: true, jsdoc: false }
  })
  await bundle.close()
  return 0
})
