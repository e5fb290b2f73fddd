/** The files of the built site: a server for them, and what their links lead to. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { extname, join, posix } from "node:path"

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".json": "application/json"
}

/** Nothing but the site itself may be loaded. VitePress has inline scripts for the colour scheme, and inline styles. */
const policy =
  "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

/** A site that is served on a port of this host. */
export interface Served {
  readonly url: string
  /** Paths that were asked for and that are no files. */
  readonly missing: ReadonlyArray<string>
  readonly close: () => void
}

/** Serves a folder as any server of static files does. */
export const serve = async (folder: string): Promise<Served> => {
  const missing: Array<string> = []
  const server: Server = createServer(({ url = "/" }, response) => {
    const path = decodeURI(url.replace(/[?#].*$/, "")).replace(/\/$/, "/index.html")
    const file = join(folder, path)
    if (!existsSync(file) || !statSync(file).isFile()) {
      missing.push(path)
      response.writeHead(404).end()
      return
    }
    const headers = {
      "content-type": types[extname(file)] ?? "text/plain",
      "content-security-policy": policy
    }
    response.writeHead(200, headers).end(readFileSync(file))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, missing, close: () => server.close() }
}

/** A page of the site. */
export interface Page {
  /** Its path below the site, as `guides/stores.html`. */
  readonly path: string
  readonly html: string
}

/** Returns every page, in order of their paths. */
export const pagesOf = (folder: string): ReadonlyArray<Page> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".html") && path !== "404.html")
    .sort()
    .map((path) => ({ path, html: readFileSync(join(folder, path), "utf8") }))

const hrefs = (html: string): ReadonlyArray<string> =>
  [...html.matchAll(/<a\b[^>]*?\shref="([^"]*)"/g)].map(([, href = ""]) => href.replaceAll("&amp;", "&"))

/** Returns the path of the page that a link of `page` leads to, or null for another host. */
const pathOf = (page: string, href: string): string | null => {
  if (/^([a-z]+:|\/\/)/i.test(href)) return null
  const target = decodeURI(href.replace(/#.*$/, ""))
  const path = target === "" ? page : posix.join("/", posix.dirname(page), target).slice(1)
  const absolute = target.startsWith("/") ? target.slice(1) : path
  return absolute === "" || absolute.endsWith("/") ? `${absolute}index.html` : absolute
}

/** Returns links that lead to no page, or to a heading that its page lacks, as `page: link`. */
export const deadLinks = (folder: string, pages: ReadonlyArray<Page>): ReadonlyArray<string> => {
  const ids = new Map(
    pages.map(({ html, path }) => [path, new Set([...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id))])
  )
  return pages.flatMap(({ html, path }) =>
    [...new Set(hrefs(html))]
      .filter((href) => {
        const target = pathOf(path, href)
        if (target === null) return false
        if (!existsSync(join(folder, target))) return true
        const [, anchor = ""] = /#(.+)$/.exec(href) ?? []
        return anchor !== "" && ids.get(target)?.has(decodeURIComponent(anchor)) !== true
      })
      .map((href) => `${path}: ${href}`)
  )
}

/** Returns the pages that the navigation of a page links to. */
export const navigated = ({ html, path }: Page): ReadonlySet<string> => {
  const [sidebar = ""] = /<aside class="VPSidebar".*?<\/aside>/s.exec(html) ?? []
  return new Set(hrefs(sidebar).flatMap((href) => pathOf(path, href) ?? []))
}
