/**
 * Links of the sources lead to files of the repository. Each becomes the address of a page: that of the Markdown file, of the
 * folder's index, or a page that shows the file. A link to nothing fails the build.
 */
import { relative } from "node:path"
import type { MarkdownRenderer } from "vitepress"
import { addressOf, exists, isSource, root, sources, targetOf, textOf } from "./Sources.ts"

const isElsewhere = (link: string): boolean => /^([a-z]+:|\/\/|#)/i.test(link)

/** The Markdown page that stands for a path, or null for a path that is shown as a file. */
const pageFor = (target: string): string | null => {
  if (target === "docs/decisions") return "/decisions/"
  const page = [target, `${target}/README.md`, `${target}.md`].find(isSource)
  return page === undefined ? null : addressOf(page)
}

/** Spelled out, because VitePress takes `.sql` for a file that is not its own. */
const fileAddress = (target: string): string => `/files/${target}.html`

/** Returns the address that a link of `page` has on the site. Fails if there is no such file. */
const addressFor = (page: string, link: string): string => {
  const target = targetOf(page, link)
  if (target.startsWith("..") || !exists(target)) throw new Error(`${page}: the link ${link} is dead.`)
  const [, anchor = ""] = /(#.*)$/.exec(link) ?? []
  return `${pageFor(target) ?? fileAddress(target)}${anchor}`
}

/** Returns the files and folders that pages link to and that are no pages, as paths of the repository. */
export const linkedFiles = (): ReadonlyArray<string> => {
  const links = sources.flatMap((page) =>
    [
      ...textOf(page)
        .replace(/^```.*?^```/gms, "")
        .matchAll(/(?<!!)\[[^\]]*\]\(([^)\s]+)\)/g)
    ]
      .map(([, link = ""]) => link)
      .filter((link) => !isElsewhere(link))
      .map((link) => targetOf(page, link))
  )
  return [...new Set(links)].filter((target) => exists(target) && pageFor(target) === null).sort()
}

/** Rewrites the links of every page while it is rendered. */
export const links = (markdown: MarkdownRenderer): void => {
  markdown.core.ruler.push("links", ({ env, tokens }) => {
    const page = relative(root, env.realPath ?? env.path)
    if (!isSource(page)) return
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const link = token.type === "link_open" ? (token.attrGet("href") ?? "#") : "#"
      if (!isElsewhere(link)) token.attrSet("href", addressFor(page, link))
    }
  })
}

/** Returns the anchor of a heading as GitHub does, because the sources link to those. */
export const anchorOf = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, "")
    .replaceAll(" ", "-")
