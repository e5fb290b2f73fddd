/**
 * The reference: a page for each entry point, from the docstrings and the declarations that the compiler emits. It is written
 * to docs/api, which is no part of the repository.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { fileAt, root } from "../Repository.ts"
import { type Compiler, withCompiler } from "./Compiler.ts"
import { type Exported, exportedNames } from "./Surface.ts"

const declarations = ".out/types"

/** `artifact-gc/oci` is `oci.md`, and the root is `artifact-gc.md`. */
const pageOf = (entry: string): string => `${entry.split("/").at(-1) ?? entry}.md`

/** GitHub's anchor of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, "")
    .replaceAll(" ", "-")

const headingOf = ({ module, name }: Exported): string => (module === null ? name : `${module}.${name}`)

/** `{@link layer}` and `{@link OwnStore.readRange}` become code, because the target may be on another page. */
const proseOf = (docs: string): string =>
  docs.replaceAll(/\{@link ([^}]+)\}/g, "`$1`").replaceAll("@link ", "")

/**
 * In a declaration, a class that extends a call has a base without a name, `X_base`. Returns what the call returns: the members
 * of a service, the fields of an error.
 */
const baseOf = (compiler: Compiler, { symbol }: Exported): string | null => {
  const text = compiler.fileTextOf(symbol)
  const start = `declare const ${symbol.name}_base: `
  const from = text.indexOf(start)
  if (from === -1) return null
  const to = text.indexOf(`export declare class ${symbol.name} `, from)
  // The class's own docstring is between the two.
  return text
    .slice(from + start.length, to)
    .replace(/\/\*\*(?:(?!\/\*\*).)*\*\/\s*$/s, "")
    .replace(/;\s*$/, "")
}

const declarationOf = (compiler: Compiler, exported: Exported, text: string): string => {
  const plain = text.replace(/^export (declare )?/, "")
  const whole = /^(class|abstract|interface|type|function|const|enum) /.test(plain) ? plain : `const ${plain}`
  const base = baseOf(compiler, exported)
  const based = base === null ? whole : whole.replace(`${exported.symbol.name}_base`, () => base)
  return based.replace(/ \{\n\}$/, " {}")
}

const sectionOf = (compiler: Compiler, exported: Exported): string =>
  [
    `### ${headingOf(exported)}`,
    "",
    proseOf(compiler.docsOf(exported.symbol)),
    "",
    "```ts",
    ...compiler.textsOf(exported.symbol).map((text) => declarationOf(compiler, exported, text)),
    "```",
    ""
  ].join("\n")

/** A table of the names by module, in the order of their sections. */
const contents = (names: ReadonlyArray<Exported>): string =>
  [...new Set(names.map(({ module }) => module))]
    .map((module) => {
      const own = names.filter((one) => one.module === module)
      const links = own.map((one) => `[${one.name}](#${anchorOf(headingOf(one))})`).join(", ")
      return `| ${module === null ? "the entry point itself" : `\`${module}\``} | ${links} |`
    })
    .join("\n")

const pageText = (compiler: Compiler, entry: string, names: ReadonlyArray<Exported>): string =>
  [
    `# API of ${entry}`,
    "",
    "Generated from the docstrings by `npm run docs`. The guide is [As a library](../library.md).",
    "",
    "| module | names |",
    "|---|---|",
    contents(names),
    "",
    ...names.map((one) => sectionOf(compiler, one))
  ].join("\n")

/** Returns the pages by their file name. */
export const referencePages = (): Readonly<Record<string, string>> => {
  const tsc = fileAt("node_modules/typescript/bin/tsc")
  const args = ["-p", "tsconfig.build.json", "--emitDeclarationOnly", "--outDir", declarations]
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...args], { cwd: root, encoding: "utf8" })
  if (status !== 0) throw new Error(`The declarations do not compile:\n${stdout}`)
  writeFileSync(
    fileAt(`${declarations}/tsconfig.json`),
    JSON.stringify({
      extends: "../../tsconfig.json",
      compilerOptions: { plugins: [] },
      include: ["**/*.d.ts"]
    })
  )
  return withCompiler(`${declarations}/tsconfig.json`, declarations, (compiler) => {
    const names = exportedNames(compiler, ".d.ts")
    const entries = [...new Set(names.map(({ entry }) => entry))]
    return Object.fromEntries(
      entries.map((entry) => [
        pageOf(entry),
        pageText(
          compiler,
          entry,
          names.filter((one) => one.entry === entry)
        )
      ])
    )
  })
}

/** Writes the pages and returns their paths. */
export const writeReference = (): ReadonlyArray<string> => {
  const folder = "docs/api"
  rmSync(fileAt(folder), { recursive: true, force: true })
  mkdirSync(fileAt(folder), { recursive: true })
  return Object.entries(referencePages()).map(([page, text]) => {
    const path = `${folder}/${page}`
    writeFileSync(fileAt(path), text)
    return path
  })
}
