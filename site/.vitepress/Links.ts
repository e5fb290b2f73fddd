/**
 * Links of the sources lead to files of the repository. Each becomes the address of a page: that of the Markdown file, of the
 * folder's index, or a page that shows the file. A link to nothing fails the build.
 */
import { relative } from "node:path"
import type { MarkdownRenderer } from "vitepress"
import { addressOf, exists, isSource, root, sources, targetOf, textOf, titleOf } from "./Sources.ts"

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

/** Returns the title of the page that a link leads to where its text is the name of the file, and otherwise its text. */
const textFor = (page: string, link: string, text: string): string => {
  const target = targetOf(page, link)
  const isName = /^[\w./-]+(\.md|\/)$/.test(text) && !link.includes("#")
  return isName && isSource(target) ? titleOf(target) : text
}

/** Rewrites the links of every page while it is rendered. */
export const links = (markdown: MarkdownRenderer): void => {
  markdown.core.ruler.push("links", ({ env, tokens }) => {
    const page = relative(root, env.realPath ?? env.path)
    if (!isSource(page)) return
    for (const { children } of tokens) {
      children?.forEach((token, index) => {
        const link = token.type === "link_open" ? (token.attrGet("href") ?? "#") : "#"
        if (isElsewhere(link)) return
        token.attrSet("href", addressFor(page, link))
        const [text, end] = [children[index + 1], children[index + 2]]
        if (text?.type === "text" && end?.type === "link_close")
          text.content = textFor(page, link, text.content)
      })
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
