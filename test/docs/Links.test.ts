import { existsSync, readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { all } from "../../src/cli/Links.ts"

const root = new URL("../../", import.meta.url)

/** The anchor of a heading, as code hosts and sites make it. */
const anchorOf = (heading: string): string =>
  heading
    .replaceAll(/[`*]/g, "")
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-")

const anchorsIn = (page: string): ReadonlySet<string> => {
  const text = readFileSync(new URL(page, root), "utf8").replaceAll(/^```[\s\S]*?^```/gm, "")
  return new Set([...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => anchorOf(heading)))
}

const isMissing = (link: string): boolean => {
  const [page = "", anchor] = link.split("#")
  if (!existsSync(new URL(page, root))) return true
  return anchor !== undefined && !anchorsIn(page).has(anchor)
}

describe("a section that a message names", () => {
  it("exists, for each error and each guard", () => {
    assert.isAbove(all.length, 10)
    assert.deepStrictEqual(all.filter(isMissing), [])
  })

  it("exists, wherever the program names a page of the documentation", () => {
    const links = readdirSync(new URL("src", root), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .flatMap((path) =>
        [
          ...readFileSync(new URL(`src/${path}`, root), "utf8").matchAll(/\bdocs\/[\w/-]+\.md(?:#[\w-]+)?/g)
        ].map(([link]) => link)
      )
    assert.isAbove(links.length, 50)
    assert.deepStrictEqual([...new Set(links)].filter(isMissing), [])
  })
})
