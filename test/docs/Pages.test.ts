/** The links of the documentation, as a code host and the site of `npm run site` resolve them. The site itself is not built here. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const root = fileURLToPath(new URL("../../", import.meta.url))

const below = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md") && !/(^|\/)(api|node_modules)\//.test(path))
    .map((path) => `${folder}/${path}`)

const pages = [
  ...["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/grants/README.md"],
  ...["docs", "examples", "verify/bench"].flatMap(below)
]

/** The text without code and comments, in which brackets are no links and a hash is no heading. */
const proseOf = (page: string): string =>
  readFileSync(join(root, page), "utf8").replaceAll(/^ *```.*?^ *```|<!--.*?-->/gms, "")

const proses = new Map(pages.map((page) => [page, proseOf(page)]))

const anchorsOf = (page: string): ReadonlySet<string> =>
  new Set(
    [...(proses.get(page) ?? "").matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
      heading
        .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        .replaceAll(/[`*]/g, "")
        .trim()
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, "")
        .replaceAll(" ", "-")
    )
  )

/** Links of a page within the repository, each with its target and its anchor. */
const linksOf = (page: string) =>
  [...(proses.get(page) ?? "").replaceAll(/`[^`\n]*`/g, "").matchAll(/\]\(([^)\s]+)[^)]*\)/g)]
    .map(([, link = ""]) => link)
    .filter((link) => !/^([a-z]+:|\/\/)/.test(link))
    .map((link) => {
      const [path = "", anchor] = link.split("#")
      return { link, target: path === "" ? page : join(dirname(page), path).replace(/\/$/, ""), anchor }
    })

const isDead = ({ anchor, target }: ReturnType<typeof linksOf>[number]): boolean =>
  !existsSync(join(root, target)) || (anchor !== undefined && !anchorsOf(target).has(anchor))

describe("the documentation", () => {
  it("has no link to a file or a heading that is missing", () => {
    const dead = pages.flatMap((page) =>
      linksOf(page)
        .filter(isDead)
        .map(({ link }) => `${page}: ${link}`)
    )
    assert.deepStrictEqual(dead, [])
    assert.isAbove(pages.flatMap(linksOf).length, 300)
  })

  it("has no tag and no braces in its text, which would end the build of the site", () => {
    const odd = pages.flatMap((page) =>
      [
        ...(proses.get(page) ?? "")
          .replaceAll(/`[^`]*`/g, "")
          .matchAll(/<(?!br>|https?:)\/?[a-z][^>\s]*|\{\{/gi)
      ].map(([found]) => `${page}: ${found}`)
    )
    assert.deepStrictEqual(odd, [])
  })

  it("has every page in an index: docs/README.md, or the page of its folder", () => {
    const indexes = ["docs/README.md", "docs/library.md", "docs/runbooks/README.md", "examples/README.md"]
    const named = indexes.flatMap((index) => linksOf(index).map(({ target }) => target))
    const isNamed = (page: string) =>
      named.includes(page) || named.includes(dirname(page)) || page.startsWith("docs/decisions/")
    const lost = pages.filter(
      (page) => /^(docs|examples)\//.test(page) && page !== "docs/README.md" && !isNamed(page)
    )
    assert.deepStrictEqual(lost, [])
  })
})
