/** The navigation: the groups and rows of the index in docs/README.md, in their order, with the folders' pages below them. */
import type { DefaultTheme } from "vitepress"
import { addressOf, isSource, sources, targetOf, textOf, titleOf } from "./Sources.ts"

type Item = DefaultTheme.SidebarItem

const index = "docs/README.md"

const leaf = (file: string): Item => ({ text: titleOf(file), link: addressOf(file) })

/** The pages in a folder, without its index. */
const pagesIn = (folder: string): ReadonlyArray<Item> =>
  sources
    .filter((file) => file.startsWith(`${folder}/`) && !file.endsWith("/README.md"))
    .map((file) => ({ ...leaf(file), text: titleOf(file).replace("API of ", "") }))

/** The pages that `page` links to in tables and that are below its folder, in the order of the links. */
const linkedBelow = (page: string, folder: string): ReadonlyArray<Item> =>
  [...textOf(page).matchAll(/^\| \[[^\]]*\]\(([^)#\s]+)\)/gm)]
    .map(([, link = ""]) => targetOf(page, link))
    .map((target) => (isSource(target) ? target : `${target}/README.md`))
    .filter((file) => isSource(file) && file.startsWith(`${folder}/`) && file !== page)
    .map(leaf)

/** Pages with pages of their own below them. */
const children: Readonly<Record<string, () => ReadonlyArray<Item>>> = {
  "docs/library.md": () => linkedBelow("docs/library.md", "docs/library"),
  "docs/runbooks/README.md": () => linkedBelow("docs/runbooks/README.md", "docs/runbooks"),
  "examples/README.md": () => linkedBelow("examples/README.md", "examples"),
  "verify/bench/README.md": () => [leaf("verify/bench/results/README.md")]
}

const below = (items: ReadonlyArray<Item>): Item =>
  items.length === 0 ? {} : { items: [...items], collapsed: true }

const itemOf = (link: string): Item => {
  const target = targetOf(index, link)
  if (target === "docs/decisions") {
    return { text: "Decisions", link: "/decisions/", ...below(pagesIn("docs/decisions")) }
  }
  if (!isSource(target)) throw new Error(`${index}: ${link} is no page.`)
  return { ...leaf(target), ...below(children[target]?.() ?? []) }
}

/** The reference is generated, so the index in the repository cannot link to it. */
const reference = (): ReadonlyArray<Item> => {
  const pages = pagesIn("docs/api")
  if (pages.length === 0) throw new Error("docs/api is empty. Run: npm run docs -- --reference")
  return [{ text: "API reference", ...below(pages) }]
}

/** Pages that the index cannot name. */
const more: Readonly<Record<string, () => ReadonlyArray<Item>>> = {
  "Embed it": reference,
  "The project": () => [{ text: "All pages, map, glossary", link: addressOf(index) }]
}

/** Returns the groups of the sidebar. */
export const sidebar = (): Array<Item> => {
  const [, text = ""] = /^## Index\n(.*?)^## /ms.exec(textOf(index)) ?? []
  const groups = text.split(/^### /m).slice(1)
  if (groups.length === 0) throw new Error(`${index} has no groups below "Index".`)
  return groups.map((group) => {
    const [heading = ""] = group.split("\n")
    const rows = [...group.matchAll(/^\| \[[^\]]*\]\(([^)\s]+)\)/gm)].map(([, link = ""]) => itemOf(link))
    return { text: heading, items: [...rows, ...(more[heading]?.() ?? [])] }
  })
}
