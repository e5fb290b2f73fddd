/**
 * Holds the tree to its own rules: which folder imports which, where SQL and store codes may appear, where time comes from,
 * what is documented, and words that make a reader read twice. The limits on lines and the ban on import circles are
 * biome's (biome.json). CONTRIBUTING.md explains the rules.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const root = fileURLToPath(new URL("../", import.meta.url))

const filesBelow = (folder: string, extension: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(extension) && !path.includes("node_modules") && !path.startsWith("."))
    .map((path) => `${folder}/${path}`)
    .sort()

const read = (path: string): string => readFileSync(join(root, path), "utf8")

interface Source {
  readonly path: string
  readonly text: string
  readonly lines: ReadonlyArray<string>
}

const sourceOf = (path: string): Source => {
  const text = read(path)
  return { path, text, lines: text.split("\n") }
}

const sources = filesBelow("src", ".ts").map(sourceOf)

/** Where a pattern matches, as `path:line: text`. */
const matches = (files: ReadonlyArray<Source>, pattern: RegExp): ReadonlyArray<string> =>
  files.flatMap(({ lines, path }) =>
    lines.flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : []))
  )

const none = (found: ReadonlyArray<string>) => assert.deepStrictEqual(found, [])

describe("imports", () => {
  /** An entry point of the package composes, too. */
  const isEntryPoint = (path: string) => /^src\/(oci|testing)\/index\.ts$/.test(path)

  /** Folders that compose the others, like the files of src itself. */
  const composing = ["cli", "exports"]

  /** Folders of src, and the folders that each may import besides itself. */
  const may: Readonly<Record<string, ReadonlyArray<string>>> = {
    domain: [],
    platform: [],
    storage: ["domain", "platform"],
    database: ["domain"],
    "embedded-postgres": ["platform"],
    artifacts: ["blobs", "database", "domain"],
    blobs: ["database", "domain", "storage"],
    sweep: ["database", "domain", "platform", "storage"],
    status: ["database", "domain", "storage", "sweep"],
    audit: ["database", "domain", "storage", "sweep"],
    oci: ["blobs", "database", "domain", "storage", "sweep"],
    config: ["blobs", "database", "domain", "oci", "storage", "sweep"],
    doctor: ["config", "database", "domain", "platform", "storage", "sweep"],
    ops: ["blobs", "config", "database", "domain", "oci", "status", "sweep"],
    // A simulation runs the collector and the writer over memory layers.
    testing: ["blobs", "database", "domain", "storage", "sweep"]
  }

  /** `database` of `src/database/postgres/Sql.ts`. Files of src itself compose the others and may import all. */
  const folderOf = (path: string): string | null => /^src\/([^/]+)\//.exec(path)?.[1] ?? null

  const importsOf = ({ path, text }: Source): ReadonlyArray<string> =>
    [...text.matchAll(/(?:from|import\()\s*"(\.[^"]*)"/g)].map(([, specifier]) =>
      join(path, "..", specifier ?? "")
    )

  /** `examples/cluster` of `examples/cluster/main.ts`. */
  const exampleOf = (path: string): string => path.split("/").slice(0, 2).join("/")

  it("point in one direction", () => {
    const wrong = sources
      .filter(({ path }) => !isEntryPoint(path))
      .flatMap((source) => {
        const folder = folderOf(source.path)
        const allowed = folder === null || composing.includes(folder) ? null : (may[folder] ?? [])
        if (allowed === null) return []
        return importsOf(source)
          .filter((target) => folderOf(target) !== folder && !allowed.includes(folderOf(target) ?? "src"))
          .map((target) => `${source.path} imports ${target}`)
      })
    none(wrong)
  })

  it("name every folder of src", () => {
    const folders = new Set(sources.flatMap(({ path }) => folderOf(path) ?? []))
    assert.sameMembers([...folders], [...Object.keys(may), ...composing])
  })

  it("of an example name the package, never a file of it", () => {
    const outside = filesBelow("examples", ".ts")
      .map(sourceOf)
      .flatMap((source) =>
        importsOf(source)
          .filter((target) => exampleOf(target) !== exampleOf(source.path))
          .map((target) => `${source.path} imports ${target}`)
      )
    none(outside)
  })

  it("of src name its files, never the package", () => none(matches(sources, /from "artifact-gc/)))

  it("reach the AWS SDK from the S3 backend alone", () => {
    const others = sources.filter(({ path }) => !/^src\/storage\/(S3\.ts|s3\/)/.test(path))
    none(matches(others, /"@aws-sdk|"@smithy/))
  })
})

describe("SQL", () => {
  const isHome = (path: string) => /^src\/(artifacts|database\/postgres|oci\/database)\//.test(path)

  it("is written in its folders alone", () => {
    const others = sources.filter(({ path }) => !isHome(path))
    none(
      matches(
        others,
        // Docstrings may show a statement of the host's.
        /^(?!\s*\*).*(\bsql(<[^`]*>)?`|\b(SELECT|INSERT INTO|UPDATE|DELETE FROM) [A-Z$"]?\w* ?(FROM|SET|VALUES|INTO)\b)/
      )
    )
  })

  it("never asks the server for the time: callers pass instants", () => {
    // A trigger has no caller, and dates what it notes for people. The skew is a comparison of clocks, no decision.
    const isExempt = (line: string) =>
      /triggers\/unannounced\/|extract\(epoch FROM clock_timestamp/.test(line)
    const asks = matches(
      sources.filter(({ path }) => isHome(path)),
      /^(?!\s*(\*|\/\/|\/\*)).*(\b(now|clock_timestamp|statement_timestamp)\(\)|\bcurrent_timestamp\b)/i
    )
    none(asks.filter((line) => !isExempt(line)))
  })
})

describe("codes of a store", () => {
  it("are read in its folder alone", () => {
    // A simulation imitates the store, so it writes codes and reads none.
    const isExempt = (path: string) => /^src\/(storage|testing\/simulation)\//.test(path)
    const others = sources.filter(({ path }) => !isExempt(path))
    none(
      matches(
        others,
        /"(SlowDown|NoSuchKey|NoSuchBucket|InternalError|RequestTimeout|ServiceUnavailable|NoSuchUpload)"/
      )
    )
  })
})

describe("results", () => {
  it("are printed by Print.ts alone, which escapes control characters", () =>
    none(
      matches(
        sources.filter(({ path }) => path.startsWith("src/cli/") && path !== "src/cli/Print.ts"),
        /\bConsole\.log\b|process\.stdout\.write/
      )
    ))
})

describe("time", () => {
  it("is Clock's", () => {
    none(matches(sources, /Date\.now\(|new Date\(\)|performance\.now\(|process\.hrtime/))
  })
})

describe("what is exported", () => {
  const exported =
    /^export (?:declare )?(?:abstract )?(?:async )?(const|function|class|interface|type|enum) (\w+)/

  /** Whether the lines above, without those of an overload, end a docstring. */
  const isDocumented = (lines: ReadonlyArray<string>, index: number): boolean =>
    /\*\/\s*$/.test(lines[index - 1] ?? "")

  it("has a docstring", () => {
    const bare = sources.flatMap(({ lines, path }) => {
      const documented = new Set<string>()
      return lines.flatMap((line, index) => {
        const [, , name = ""] = exported.exec(line) ?? []
        if (name === "") return []
        // A type that is named like its schema, or an overload, shares its docstring.
        if (isDocumented(lines, index) || documented.has(name)) {
          documented.add(name)
          return []
        }
        return [`${path}:${index + 1}: ${name}`]
      })
    })
    none(bare)
  })

  it("has a docstring for each of its options", () => {
    const bare = sources.flatMap(({ lines, path }) => {
      let isOptions = false
      return lines.flatMap((line, index) => {
        if (/^export interface \w*(Options|Settings)\b/.test(line)) isOptions = true
        else if (/^\}/.test(line)) isOptions = false
        const [, name = ""] = (isOptions && /^ {2}readonly (\w+)/.exec(line)) || []
        return name === "" || isDocumented(lines, index) ? [] : [`${path}:${index + 1}: ${name}`]
      })
    })
    none(bare)
  })
})

describe("prose", () => {
  /** Words of the style rule in CONTRIBUTING.md. */
  const banned =
    /\b(whoever|whosoever|nobody|somebody|anybody|everybody|in vain|all the same|comes? to pass|shall|save (when|that|where)|foreign writers?)\b/i

  /** Interfaces that keep an old name: SQL names, flags and settings. */
  const kept = /guard-foreign-writers|unguard-foreign-writers|guardForeign|guard_foreign|foreign_?writers?\b/g

  const pages = [
    ...filesBelow("docs", ".md"),
    ...filesBelow("examples", ".md"),
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "verify/bench/README.md"
  ].map(sourceOf)

  const found = (files: ReadonlyArray<Source>) =>
    matches(files, banned).filter((line) => banned.test(line.replaceAll(kept, "")))

  it("in src avoids words that make a reader read twice", () => none(found(sources)))

  it("in docs avoids them, too", () => {
    // The table of the rule names them.
    none(found(pages).filter((line) => !line.startsWith("CONTRIBUTING.md")))
  })
})
