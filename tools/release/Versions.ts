/** The version of a release: package.json says it, and every other place is compared with it. */
import { readFileSync } from "node:fs"
import { fileAt } from "../Repository.ts"

const read = (path: string): string => readFileSync(fileAt(path), "utf8")

/** Returns the version of package.json. */
export const version = (): string =>
  (JSON.parse(read("package.json")) as { readonly version: string }).version

const places: ReadonlyArray<readonly [path: string, pattern: RegExp]> = [
  ["package-lock.json", /^ {2}"version": "(.+)"/m],
  ["src/cli/version.ts", /version = "(.+)"/],
  ["deploy/helm/artifact-gc/Chart.yaml", /^version: (.+)$/m],
  ["deploy/helm/artifact-gc/Chart.yaml", /^appVersion: "(.+)"$/m]
]

/** Returns the places that name another version than package.json. */
export const otherVersions = (): ReadonlyArray<string> =>
  places
    .map(([path, pattern]) => [path, pattern.exec(read(path))?.[1] ?? "none"] as const)
    .filter(([, found]) => found !== version())
    .map(([path, found]) => `${path}: ${found}, and package.json has ${version()}`)

/** Returns the section of a changelog for a version, or else the one of changes that are not released; null without either. */
export const sectionOf = (changelog: string, wanted: string): string | null => {
  const sections = changelog.split(/^(?=## )/m)
  const named = (name: string) =>
    sections.find((section) => section.startsWith(`## ${name}`) || section.startsWith(`## [${name}]`))
  return (named(wanted) ?? named("Unreleased"))?.trim() ?? null
}
