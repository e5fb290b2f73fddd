/**
 * Packs the package and tries it as a stranger would: in an empty project, outside this repository, with the peers that it
 * asks for and without the optional ones.
 *
 *   npm run test:package
 *
 * Exit codes: 0 when every check passed, 1 when any did not. ARTIFACT_GC_TEST_TALLY names a file to which "package passed
 * failed skipped" is appended.
 */
import { spawnSync } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runProgram, tally } from "../../tools/Program.ts"
import { fileAt, root } from "../../tools/Repository.ts"
import { attachments, cluster, example, node, run } from "./package/Examples.ts"
import { everything, importCost, timeTravel } from "./package/Programs.ts"

interface Manifest {
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>
  readonly devDependencies: Readonly<Record<string, string>>
}

const manifest = (): Manifest => JSON.parse(readFileSync(fileAt("package.json"), "utf8")) as Manifest

/** Installs the tarball with its required peers and the compiler. The version of each is the one that is tested here. */
const install = (tarball: string, folder: string, optional: boolean): void => {
  const { devDependencies, peerDependencies, peerDependenciesMeta } = manifest()
  const peers = Object.keys(peerDependencies).filter(
    (name) => optional || peerDependenciesMeta[name]?.optional !== true
  )
  mkdirSync(folder)
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name: "stranger", private: true, type: "module" })
  )
  const packages = [...peers, "typescript", "@types/node", "esbuild"].map(
    (name) => `${name}@${devDependencies[name] ?? "*"}`
  )
  run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", tarball, ...packages], folder)
}

const compile = (
  folder: string,
  moduleResolution: "nodenext" | "bundler",
  files: ReadonlyArray<string>
): void => {
  const module = moduleResolution === "nodenext" ? "nodenext" : "esnext"
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        ...{ target: "es2023", module, moduleResolution, strict: true, exactOptionalPropertyTypes: true },
        ...{ noEmit: true, skipLibCheck: true, types: ["node"] }
      },
      files
    })
  )
  node([join("node_modules", "typescript", "bin", "tsc"), "-p", "."], folder)
}

/** Where a package is installed below a folder, at any depth. */
const copiesOf = (name: string, folder: string): ReadonlyArray<string> =>
  (readdirSync(folder, { recursive: true, encoding: "utf8" }) as ReadonlyArray<string>).filter((path) =>
    path.endsWith(join("node_modules", name, "package.json"))
  )

/** An import of the root may cost this many times the processor time of an import of effect alone. */
const importRatioMax = 1.3

/** Imports of each in a round, in turn. A busy machine only adds to a time, so the least of each is compared. */
const imports = 7

/** Other programs may have been at work during all imports of one of the two, so a round above the limit is repeated. */
const roundsMax = 5

/** Compares an import of the root with one of effect alone. Fails where it costs too much in every round. */
const importRatio = (folder: string): string => {
  const costOf = (name: string) => Number(node(["--input-type=module", "--eval", importCost(name)], folder))
  const rounds: Array<string> = []
  for (let round = 0; round < roundsMax; round++) {
    let [effect, ours] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
    for (let run = 0; run < imports; run++) {
      effect = Math.min(effect, costOf("effect"))
      ours = Math.min(ours, costOf("artifact-gc"))
    }
    rounds.push(
      `${ours.toFixed(0)} ms of CPU, of effect alone ${effect.toFixed(0)} ms, ratio ${(ours / effect).toFixed(2)}`
    )
    if (ours <= importRatioMax * effect) return rounds.join("; ")
  }
  throw new Error(`${importRatioMax} is allowed:\n${rounds.join("\n")}`)
}

/** Bundles the app as a host does, and starts it. Modules that it does not use must be left out one by one. */
const bundle = (folder: string): string => {
  const [file, report] = [join(folder, "bundle.mjs"), join(folder, "bundle.json")]
  run(
    join("node_modules", ".bin", "esbuild"),
    [
      ...["app.ts", "--bundle", "--minify", "--platform=node", "--format=esm"],
      ...[`--outfile=${file}`, `--metafile=${report}`]
    ],
    folder
  )
  if (readFileSync(file, "utf8").includes("aws-sdk")) throw new Error("the bundle contains the AWS SDK")
  expectOne(node([file], folder))
  const { inputs } = JSON.parse(readFileSync(report, "utf8")) as { readonly inputs: object }
  const whole = Object.keys(inputs).filter((path) => path.includes("artifact-gc/dist/bundled/"))
  if (whole.length > 0) throw new Error(`it has the form for Node:\n${whole.join("\n")}`)
  return `${Math.round(statSync(file).size / 1000)} kB minified`
}

const isDeadLink = (file: string, target: string): boolean =>
  !/^(https?:|#|mailto:)/.test(target) && !existsSync(join(file, "..", target.replace(/#.*$/, "")))

/** Links of the packed documentation that lead to files which are not packed. */
const deadLinks = (folder: string): ReadonlyArray<string> =>
  (readdirSync(folder, { recursive: true, encoding: "utf8" }) as ReadonlyArray<string>)
    .filter((path) => path.endsWith(".md"))
    .flatMap((path) =>
      [...readFileSync(join(folder, path), "utf8").matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target]) => target ?? "")
        .filter((target) => isDeadLink(join(folder, path), target))
        .map((target) => `${path}: ${target}`)
    )

/** Sources that the maps name and that are not packed, as copies or as files. */
const lostSources = (folder: string): ReadonlyArray<string> =>
  (readdirSync(folder, { recursive: true, encoding: "utf8" }) as ReadonlyArray<string>)
    .filter((path) => path.endsWith(".js.map"))
    .flatMap((path) => {
      const { sources } = JSON.parse(readFileSync(join(folder, path), "utf8")) as {
        readonly sources: ReadonlyArray<string>
      }
      return sources
        .filter((source) => !existsSync(join(folder, path, "..", source)))
        .map((source) => `${path}: ${source}`)
    })

const say = (line: string): void => void process.stdout.write(`${line}\n`)

type Check = readonly [name: string, check: () => string | undefined | Promise<string>]

/** What the package consists of. */
const contentChecks = (tarball: string, lean: string): ReadonlyArray<Check> => [
  [
    "publint finds nothing",
    () => void node([fileAt("node_modules/publint/src/cli.js"), tarball, "--strict"], root)
  ],
  [
    "are-the-types-wrong finds nothing for ESM and bundlers",
    () =>
      void node(
        [fileAt("node_modules/@arethetypeswrong/cli/dist/index.js"), tarball, "--profile", "esm-only"],
        root
      )
  ],
  [
    "one copy of effect is installed, and no optional package",
    () => {
      const found = copiesOf("effect", join(lean, "node_modules"))
      const all = [...found, join("node_modules", "effect", "package.json")]
      if (found.length > 0) throw new Error(`copies of effect:\n${all.join("\n")}`)
      for (const name of ["@aws-sdk/client-s3", "@effect/platform-node"])
        if (existsSync(join(lean, "node_modules", name))) throw new Error(`${name} is installed`)
      return undefined
    }
  ],
  [
    "every source map leads to sources that are packed",
    () => {
      const dead = lostSources(join(lean, "node_modules", "artifact-gc", "dist"))
      if (dead.length > 0) throw new Error(dead.join("\n"))
      return undefined
    }
  ],
  [
    "no link of the packed documentation is dead",
    () => {
      const dead = deadLinks(join(lean, "node_modules", "artifact-gc"))
      if (dead.length > 0) throw new Error(dead.join("\n"))
      return undefined
    }
  ]
]

/** What works with it. `lean` has no optional package, `whole` has all. */
const useChecks = (lean: string, whole: string): ReadonlyArray<Check> => [
  ["an app compiles (nodenext)", () => void compile(lean, "nodenext", ["app.ts"])],
  ["an app compiles (bundler)", () => void compile(lean, "bundler", ["app.ts"])],
  [
    "every entry point compiles (nodenext)",
    () => void compile(whole, "nodenext", ["app.ts", "everything.ts"])
  ],
  ["every entry point compiles (bundler)", () => void compile(whole, "bundler", ["app.ts", "everything.ts"])],
  [
    "an app runs without the optional packages",
    () => {
      node(
        [
          join("node_modules", "typescript", "bin", "tsc"),
          ...["--outDir", "out", "--noEmit", "false"],
          ...["-p", "."]
        ],
        lean
      )
      return `deleted ${expectOne(node(["out/app.js"], lean))}`
    }
  ],
  [
    "an example plays simulations (time-travel)",
    () => {
      const out = example(lean, "time-travel")
      if (!/With commit: \d+ seeds, \d+ texts confirmed, none lost/.test(out)) throw new Error(out)
      return out.trim().split("\n").at(-1)
    }
  ],
  [
    "an example starts a PostgreSQL of its own (reference-source)",
    () => {
      const out = example(lean, "reference-source")
      if (!out.includes("value: 1000")) throw new Error(out)
      return undefined
    }
  ],
  [
    "an example keeps objects in a store of its own (custom-storage)",
    () => {
      const out = example(lean, "custom-storage")
      if (!out.includes("sweep complete: deleted 1; one note, 1 object")) throw new Error(out)
      return undefined
    }
  ],
  ["an example serves files and sweeps beside it (attachments)", () => attachments(whole)],
  ["an example moves its collector to another runner (cluster)", () => cluster(whole)],
  [`an import of the root costs at most ${importRatioMax} times one of effect`, () => importRatio(lean)],
  ["a bundle of it has no AWS SDK, and starts", () => bundle(lean)],
  [
    "the program says which packages it lacks",
    () => {
      const { status, stderr } = spawnSync(
        process.execPath,
        [join("node_modules", "artifact-gc", "dist", "main.js"), "--help"],
        { cwd: lean, encoding: "utf8" }
      )
      if (status !== 2 || !stderr.includes("npm install")) throw new Error(`exit code ${status}: ${stderr}`)
      return undefined
    }
  ],
  [
    "the program runs with them",
    () => {
      const help = node([join("node_modules", "artifact-gc", "dist", "main.js"), "--help"], whole)
      if (!help.includes("sweep")) throw new Error(help)
      return undefined
    }
  ]
]

/** The app deletes the one upload that it staged. */
const expectOne = (out: string): string => {
  if (out.trim() !== "1") throw new Error(`the app printed ${out}`)
  return out.trim()
}

const main = async (): Promise<number> => {
  const folder = mkdtempSync(join(tmpdir(), "package-"))
  try {
    const packed = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", folder], root)) as unknown
    const [{ filename, entryCount, size }] = packed as [
      { filename: string; entryCount: number; size: number }
    ]
    say(`${filename}: ${entryCount} files, ${Math.round(size / 1000)} kB`)
    const tarball = join(folder, filename)
    const [lean, whole] = [join(folder, "lean"), join(folder, "whole")]
    for (const [place, optional] of [
      [lean, false],
      [whole, true]
    ] as const) {
      install(tarball, place, optional)
      writeFileSync(join(place, "app.ts"), timeTravel)
      writeFileSync(join(place, "everything.ts"), everything)
    }
    const counts = { passed: 0, failed: 0, skipped: 0 }
    for (const [name, check] of [...contentChecks(tarball, lean), ...useChecks(lean, whole)]) {
      try {
        const said = await check()
        counts.passed += 1
        say(`ok      ${name}${said === undefined ? "" : `: ${said}`}`)
      } catch (error) {
        counts.failed += 1
        say(`FAILED  ${name}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    tally("package", counts)
    say(`${counts.passed} passed, ${counts.failed} failed`)
    return counts.failed === 0 && counts.passed > 0 ? 0 : 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

runProgram(main)
