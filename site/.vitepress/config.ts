/**
 * The documentation as a static site. It is built from the Markdown of the repository where that is, and asks no other host
 * for anything: no fonts, no scripts, a search index of its own. SITE_BASE is the path below which it is served; default `/`.
 */
import { fileURLToPath } from "node:url"
import { defineConfig, type Plugin } from "vitepress"
import { icon } from "./Icon.ts"
import { anchorOf, links } from "./Links.ts"
import { sidebar } from "./Navigation.ts"
import { sectionsOf, withoutComments } from "./Search.ts"
import { excluded, placeOf, root, sources } from "./Sources.ts"

const fromHere = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const known = new Set(sources)

/** The pages are outside of this folder, so Vue is not found from them when they are rendered on the server. */
const vueFromHere: Plugin = {
  name: "vue-from-here",
  enforce: "pre",
  resolveId: (id, _importer, { ssr }) =>
    ssr === true && /^vue(\/|$)/.test(id) ? { id, external: true } : null
}

export default defineConfig({
  title: "artifact-gc",
  description:
    "A garbage collector for artifact stores on S3 and PostgreSQL, and an OCI registry on top of it",
  lang: "en",
  base: process.env.SITE_BASE ?? "/",
  head: [
    ["link", { rel: "icon", href: icon }],
    ["meta", { name: "theme-color", content: "#1f6f54" }]
  ],
  srcDir: root,
  srcExclude: excluded,
  outDir: fromHere("dist"),
  cacheDir: fromHere("cache"),
  rewrites: (page) => (known.has(page) || page.startsWith("site/") ? placeOf(page) : page),
  // Addresses end in .html, so that any server of files serves them.
  cleanUrls: false,
  ignoreDeadLinks: false,
  markdown: {
    anchor: { slugify: anchorOf },
    config: links,
    theme: { light: "github-light-high-contrast", dark: "github-dark" }
  },
  vite: {
    plugins: [vueFromHere],
    publicDir: false,
    server: { fs: { allow: [root] } },
    // Pages are loaded one by one. The largest is the reference of the root.
    build: { chunkSizeWarningLimit: 2500 }
  },
  themeConfig: {
    logo: { src: icon, alt: "" },
    nav: [
      { text: "Tutorial", link: "/tutorial" },
      { text: "Operations", link: "/operations" },
      { text: "Library", link: "/library" },
      { text: "Protocol", link: "/design/protocol" },
      { text: "All pages", link: "/contents" }
    ],
    sidebar: sidebar(),
    outline: { level: [2, 3], label: "On this page" },
    search: {
      provider: "local",
      options: {
        _render: (source, env, markdown) => markdown.render(withoutComments(source), env),
        miniSearch: {
          _splitIntoSections: sectionsOf,
          searchOptions: { fuzzy: 0.1, prefix: true, boost: { title: 4, titles: 2, text: 1 } }
        }
      }
    },
    docFooter: { prev: "Before", next: "Next" },
    externalLinkIcon: true
  }
})
