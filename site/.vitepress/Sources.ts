/** Which Markdown of the repository is a page of the site, and at which path. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

/** The repository's own folder, an absolute path. */
export const root = fileURLToPath(new URL("../../", import.meta.url))

/** Folders and files whose Markdown is published. Paths are relative to the repository. */
const published = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
const publishedFolders = ["docs", "examples", "verify/bench", "deploy"]

/** What VitePress skips, as patterns. Everything else with the extension `.md` is a page. */
export const excluded = [
  "**/node_modules/**",
  "!(docs|examples|verify|deploy|site)/**/*.md",
  "verify/!(bench)/**/*.md",
  "site/!(pages)/**/*.md"
]

/** Returns the file's whole text. */
export const textOf = (file: string): string => readFileSync(join(root, file), "utf8")

export const isFolder = (path: string): boolean =>
  existsSync(join(root, path)) && statSync(join(root, path)).isDirectory()

export const exists = (path: string): boolean => existsSync(join(root, path))

const markdownBelow = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((path) => `${folder}/${path.replaceAll("\\", "/")}`)
    .filter((path) => path.endsWith(".md") && !path.includes("/node_modules/"))

/** Every Markdown file that is a page, in order of their paths. */
export const sources: ReadonlyArray<string> = [
  ...published,
  ...publishedFolders.flatMap(markdownBelow)
].sort()

const known = new Set(sources)

export const isSource = (file: string): boolean => known.has(file)

/**
 * Returns where a page is on the site: `docs/` is left out, and README.md is the index of its folder. The repository's
 * README.md is the front page, so that of docs/ is `contents.md`.
 */
export const placeOf = (file: string): string =>
  file
    .replace(/^site\/pages\//, "")
    .replace(/^docs\/README\.md$/, "contents.md")
    .replace(/^docs\//, "")
    .replace(/^verify\//, "")
    .replace(/README\.md$/, "index.md")
    .replace(/^(CHANGELOG|CONTRIBUTING|SECURITY)\.md$/, (name) => name.toLowerCase())

/** Returns the address of a page below the base of the site: `guides/stores.md` is `/guides/stores`. */
export const addressOf = (file: string): string => `/${placeOf(file).replace(/(index)?\.md$/, "")}`

/** Returns the page's first heading. */
export const titleOf = (file: string): string => {
  const [, title] = /^# (.+)$/m.exec(textOf(file)) ?? []
  if (title === undefined) throw new Error(`${file} has no heading.`)
  return title.replaceAll("`", "")
}

/** Returns a path of the repository that a link on a page leads to, without the anchor. */
export const targetOf = (page: string, link: string): string =>
  join(dirname(page), decodeURI(link.replace(/#.*$/, ""))).replace(/\/$/, "")
