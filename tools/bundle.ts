/**
 * Bundles the entry points of the built package, for the package alone: an import reads 15 files instead of 200. Shared
 * code is in chunks of its own, and every package stays external. Declarations stay one a module. Source maps name the
 * sources, which are packed.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { rolldown } from "rolldown"
import { runProgram } from "./Program.ts"
import { fileAt } from "./Repository.ts"

interface Manifest {
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, { readonly default: string }>>
}

const dist = fileAt("dist")

/** Returns the sources of the entry points, by their names below `dist`, without `.js`. */
const entries = (): Record<string, string> => {
  const { bin, exports } = JSON.parse(readFileSync(fileAt("package.json"), "utf8")) as Manifest
  const built = [...Object.values(exports).map((entry) => entry.default), ...Object.values(bin)]
  const names = built.map((path) => path.replace(/^(\.\/)?dist\//, "").replace(/\.js$/, ""))
  return Object.fromEntries(names.map((name) => [name, fileAt(`src/${name}.ts`)]))
}

/** Returns the paths of files below `dist` with one of these endings. */
const filesWith = (...endings: ReadonlyArray<string>): ReadonlyArray<string> =>
  readdirSync(dist, { recursive: true, encoding: "utf8" })
    .filter((path) => endings.some((ending) => path.endsWith(ending)))
    .map((path) => join(dist, path))

runProgram(async () => {
  const bundle = await rolldown({
    input: entries(),
    platform: "node",
    tsconfig: fileAt("tsconfig.build.json"),
    external: (id) => !/^[./]/.test(id)
  })
  for (const path of filesWith(".js", ".js.map")) rmSync(path)
  await bundle.write({
    dir: dist,
    format: "esm",
    sourcemap: true,
    entryFileNames: "[name].js",
    chunkFileNames: "chunks/[name]-[hash].js",
    // Bundlers of apps drop what is marked as pure.
    comments: { annotation: true, legal: true, jsdoc: false }
  })
  await bundle.close()
  for (const path of filesWith(".js.map")) {
    const { sourcesContent: _, ...map } = JSON.parse(readFileSync(path, "utf8"))
    writeFileSync(path, JSON.stringify(map))
  }
  return 0
})
