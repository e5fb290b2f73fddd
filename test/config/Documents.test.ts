import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { settings } from "../../src/config/settings.ts"
import { documents as generated } from "../../tools/Documents.ts"
import { tables } from "../../tools/Tables.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))
const text = (path: string): string => readFileSync(join(root, path), "utf8")

const filesBelow = (folder: string, ending: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))

const documents = [
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "CHANGELOG.md",
  "verify/bench/README.md",
  ...filesBelow("docs", ".md")
]

describe("the generated parts of the documents", async () => {
  for (const [path, generate] of Object.entries(generated(await tables()))) {
    it(`are up to date in ${path} (else run: npm run docs)`, () => {
      assert.strictEqual(text(path), generate(text(path)))
    })
  }

  it("hold every setting once", () => {
    const rows = [...text("docs/configuration.md").matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map(([, env]) => env)
    assert.deepStrictEqual(
      rows,
      Object.values(settings).map(({ env }) => env)
    )
  })
})

describe("a variable", () => {
  const known = new Set(
    Object.values(settings).flatMap(({ env, secret }) => (secret ? [env, `${env}_FILE`] : [env]))
  )
  const mentioned =
    /\b(?:GC|S3|CATALOG|COLLECTOR|DATABASE|FILES|DATA|SERVE|REGISTRY|OPS)_[A-Z][A-Z_]*[A-Z]\b/g
  for (const path of [...documents, ...filesBelow("src", ".ts")]) {
    const names = [...new Set(text(path).match(mentioned))]
    if (names.length === 0) continue
    it(`that ${path} mentions is a setting`, () => {
      assert.deepStrictEqual(
        names.filter((name) => !known.has(name)),
        []
      )
    })
  }
})

describe("a flag", () => {
  const ofFramework = ["help", "version", "log-level"]
  const known = new Set([
    ...ofFramework,
    ...Object.values(settings).map(({ env }) => env.toLowerCase().replaceAll("_", "-")),
    ...filesBelow("src/cli", ".ts").flatMap((path) =>
      [...text(path).matchAll(/Flag\.(\w+)\("([a-z-]+)"[,)]/g)].flatMap(([, type, name]) =>
        type === "Boolean" ? [name, `no-${name}`] : [name]
      )
    )
  ])
  // The benchmarks have flags of their own.
  for (const path of documents.filter((name) => !name.startsWith("verify/"))) {
    // Flags of other programs appear in the code of the documents too.
    const used = [
      ...text(path)
        .replaceAll("\\\n", "")
        .matchAll(/`[^`\n]*`|^.*(?:artifact-gc|dist\/main\.js) .*$/gm)
    ]
      .map(([code]) => code)
      .filter(
        (code) =>
          !/npm |initdb|skopeo |crane |cosign |oras |regctl |podman |ctr |docker |helm |kubectl |systemctl /.test(
            code
          )
      )
      .flatMap((code) => [...code.matchAll(/(?<![\w-])--([a-z][a-z-]+)/g)].map(([, name]) => name ?? ""))
    if (used.length === 0) continue
    it(`that ${path} uses exists`, () => {
      assert.deepStrictEqual(
        used.filter((name) => !known.has(name)),
        []
      )
    })
  }
})

describe("a link", () => {
  for (const path of documents) {
    const links = [...text(path).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, target]) => target ?? "")
      .filter((target) => !/^[a-z]+:/.test(target))
    if (links.length === 0) continue
    it(`from ${path} points to an existing file`, () => {
      const missing = links.filter((target) => !existsSync(join(root, dirname(path), target)))
      assert.deepStrictEqual(missing, [])
    })
  }

  it("from a comment in the sources points to an existing document or test", () => {
    const missing = filesBelow("src", ".ts").flatMap((path) =>
      [...text(path).matchAll(/\b(?:docs|test|src|tools|verify)\/[\w/.-]*\.(?:md|ts)\b/g)]
        .filter(([target]) => !existsSync(join(root, target)))
        .map(([target]) => `${path}: ${target}`)
    )
    assert.deepStrictEqual(missing, [])
  })
})

describe("the README", () => {
  it("names npm scripts that exist", () => {
    const { scripts } = JSON.parse(text("package.json")) as { readonly scripts: Record<string, string> }
    const named = documents.flatMap((path) =>
      [...text(path).matchAll(/\bnpm (?:run ([\w:-]+)|(start|test))/g)].map(
        ([, run, short]) => run ?? short ?? ""
      )
    )
    assert.isAbove(named.length, 5)
    assert.deepStrictEqual(
      named.filter((name) => scripts[name] === undefined),
      []
    )
  })

  it("names existing scripts, which name existing files", () => {
    const { scripts } = JSON.parse(text("package.json")) as { readonly scripts: Record<string, string> }
    // A compiled file is known by its source.
    const files = Object.values(scripts).flatMap((script) =>
      (script.match(/(?<=\.out\/)[\w./-]+(?=\.js)/g) ?? []).map((path) => `${path}.ts`)
    )
    assert.isAbove(files.length, 5)
    assert.deepStrictEqual(
      files.filter((path) => !existsSync(join(root, path))),
      []
    )
  })

  it("belongs to a package whose exports have sources", () => {
    const missing = Object.values(exported())
      .map(sourceOf)
      .filter((path) => !existsSync(join(root, path)))
    assert.deepStrictEqual(missing, [])
  })

  it("shows every command of the program, and no other", () => {
    const rows = [...text("README.md").matchAll(/^\| `([a-z]+)` \|/gm)].map(([, name]) => name)
    const commands = filesBelow("src/cli", "Command.ts").flatMap(
      (path) => /Command\.make\(\n? *"([a-z]+)"/.exec(text(path))?.[1] ?? []
    )
    assert.sameMembers(rows, commands)
  })

  interface Entry {
    readonly types: string
  }

  const exported = () =>
    (JSON.parse(text("package.json")) as { readonly exports: Readonly<Record<string, Entry>> }).exports

  const sourceOf = ({ types }: Entry): string => types.replace("./dist/", "src/").replace(".d.ts", ".ts")
})
