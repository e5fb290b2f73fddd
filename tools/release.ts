/**
 * Makes everything that a release consists of, in a folder, and publishes nothing.
 *
 *   npm run release -- --dry-run [--out FOLDER]     default: .out/release
 *
 * npm's package, the context of the image, a list of the packages (CycloneDX), their licences, the section of the changelog,
 * SHA-256 sums of all. Refuses versions that differ, and licences that are unknown or not permitted. Exit codes: 0, 1 after a
 * refusal, 2 for a wrong command line.
 */
import { createHash } from "node:crypto"
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { runProgram, Usage } from "./Program.ts"
import { fileAt, root } from "./Repository.ts"
import { type Component, licencesOf } from "./release/Licences.ts"
import { otherVersions, sectionOf, version } from "./release/Versions.ts"
import { run } from "./servers/Processes.ts"

const usage = `usage: npm run release -- --dry-run [--out FOLDER]

Without --dry-run nothing is made. To publish, take the files of a dry run, and:
  npm publish FOLDER/artifact-gc-VERSION.tgz       needs an account of npm that owns the package
  docker buildx build --platform linux/amd64,linux/arm64 --push …   needs a registry of images; the context is a tar
  git tag --sign vVERSION && git push --tags       needs a key
`

/** What the image needs, as .dockerignore says. */
const imageFiles = [
  ...["package.json", "package-lock.json", "LICENSE", "tsconfig.json", "tsconfig.build.json", "src", "man"],
  ...["deploy/docker", ".dockerignore"]
]

/** The parts of a CycloneDX document that are read here. */
interface Sbom {
  readonly components: ReadonlyArray<Component & { readonly "bom-ref": string }>
  readonly dependencies: ReadonlyArray<{ readonly ref: string; readonly dependsOn: ReadonlyArray<string> }>
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly peer?: boolean }>>
}

/**
 * Leaves out what only a peer asks for (Redis), as the image does. `npm sbom --omit peer` would leave out Effect too, for
 * which both the program and its packages ask.
 */
const withoutPeers = (document: Sbom, { packages }: Lock): Sbom => {
  const peers = new Set(
    Object.entries(packages)
      .filter(([, { peer }]) => peer === true)
      .map(([path, found]) => `${path.replace(/^.*node_modules\//, "")}@${found.version}`)
  )
  const isKept = (ref: string) => !peers.has(ref)
  return {
    ...document,
    components: document.components.filter(({ name, version: of }) => isKept(`${name}@${of}`)),
    dependencies: document.dependencies
      .filter(({ ref }) => isKept(ref))
      .map((each) => ({ ...each, dependsOn: each.dependsOn.filter(isKept) }))
  }
}

/** Returns the CycloneDX document of the packages that the image has. */
const sbom = async (): Promise<Sbom> => {
  const folder = mkdtempSync(join(tmpdir(), "artifact-gc-release-"))
  try {
    for (const name of ["package.json", "package-lock.json"]) copyFileSync(fileAt(name), join(folder, name))
    await run(process.execPath, [fileAt("deploy/docker/image.mjs"), "manifest"], { cwd: folder })
    const quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefer-offline"]
    await run("npm", ["install", "--package-lock-only", "--omit=dev", ...quiet], { cwd: folder })
    const args = ["sbom", "--package-lock-only", "--sbom-format", "cyclonedx", "--sbom-type", "application"]
    const document = JSON.parse(await run("npm", [...args, "--omit", "dev"], { cwd: folder })) as Sbom
    const lock = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")) as Lock
    return withoutPeers(document, lock)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The packages that the program itself asks for. */
const programPackages = (): ReadonlyArray<string> => {
  const manifest = JSON.parse(readFileSync(fileAt("package.json"), "utf8")) as {
    readonly dependencies: object
    readonly peerDependencies: object
  }
  return Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
}

const refuse = (what: string, lines: ReadonlyArray<string>): void => {
  if (lines.length > 0) throw new Error(`${what} Nothing was published.\n${lines.join("\n")}`)
}

const sha256 = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex")

const make = async (folder: string): Promise<void> => {
  refuse("Versions differ.", otherVersions())
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const document = await sbom()
  const missing = programPackages().filter((name) => !document.components.some((each) => each.name === name))
  refuse("The list of packages is not whole.", missing)
  const { lines, refused } = licencesOf(document.components)
  refuse("Licences are unknown or not permitted (tools/release/Licences.ts).", refused)
  const notes = sectionOf(readFileSync(fileAt("CHANGELOG.md"), "utf8"), version())
  if (notes === null) throw new Error(`CHANGELOG.md: has no section of ${version()}. Nothing was published.`)
  await run("npm", ["pack", "--pack-destination", folder], { cwd: root })
  const image = join(folder, `artifact-gc-${version()}-image.tar.gz`)
  await run("git", ["archive", "--format=tar.gz", `--output=${image}`, "HEAD", "--", ...imageFiles], {
    cwd: root
  })
  writeFileSync(join(folder, "sbom.cdx.json"), `${JSON.stringify(document, null, 2)}\n`)
  writeFileSync(join(folder, "licences.txt"), `${lines.join("\n")}\n`)
  writeFileSync(join(folder, "changes.md"), `${notes}\n`)
  const sums = readdirSync(folder)
    .sort()
    .map((name) => `${sha256(join(folder, name))}  ${name}`)
  writeFileSync(join(folder, "SHA256SUMS"), `${sums.join("\n")}\n`)
}

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const [first, flag, out, ...rest] = args
  if (first !== "--dry-run") throw new Usage(usage)
  if (rest.length > 0 || (flag !== undefined && (flag !== "--out" || out === undefined)))
    throw new Usage(usage)
  const folder = resolve(out ?? fileAt(".out/release"))
  const dirty = (await run("git", ["status", "--porcelain", "--", ...imageFiles], { cwd: root })).trim()
  if (dirty !== "") process.stderr.write(`Not committed, and not in the context of the image:\n${dirty}\n`)
  await make(folder)
  for (const name of readdirSync(folder).sort()) process.stdout.write(`${join(folder, name)}\n`)
  process.stdout.write(`Version ${version()}. Nothing was published.\n`)
  return 0
}

runProgram(main)
