/** What the search knows of a page: a section for each heading. */

interface Section {
  readonly anchor: string
  /** Headings from the page's to the section's own. The last weighs most. */
  readonly titles: Array<string>
  readonly text: string
}

/** A fragment has its imports in a comment, which the page does not show. */
export const withoutComments = (markdown: string): string => markdown.replace(/<!--.*?-->/gs, "")

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', "#39": "'" }

const plain = (html: string): string =>
  html
    .replace(/<[^>]*>/g, " ")
    .replace(/&(lt|gt|amp|quot|#39);/g, (_, name: string) => entities[name] ?? "")
    .replace(/\s+/g, " ")
    .trim()

/**
 * Returns the sections of a page. In the reference the module is a heading above the name: so `breaker` finds the guides
 * first, and `judge` finds `Breaker.judge`.
 */
export const sectionsOf = (file: string, html: string): Array<Section> => {
  const isReference = file.includes("/docs/api/")
  const parents: Array<string | undefined> = []
  return html
    .split(/(?=<h[1-6] id=")/)
    .filter((part) => part.startsWith("<h"))
    .map((part) => {
      const [, level = "", anchor = "", heading = "", text = ""] =
        /^<h(.) id="([^"]*)"[^>]*>(.*?)<\/h.>(.*)$/s.exec(part) ?? []
      const title = plain(heading.replace(/<a class="header-anchor".*$/s, ""))
      const depth = Number(level) - 1
      parents.splice(depth)
      const above = parents.filter((parent) => parent !== undefined)
      parents[depth] = title
      const titles = [...above, ...(isReference && depth > 0 ? title.split(".") : [title])]
      return { anchor, titles, text: plain(text) }
    })
}
