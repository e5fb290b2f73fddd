/**
 * Opens every page of the built site in Chromium, at the width of a phone.
 *
 *   npm run test:site                           builds the site first
 *   node .out/verify/acceptance/site.js         the site as it was built last
 *   … -- --screenshots FOLDER                   also writes pictures: light, dark, phone, search
 *
 * Exit codes: 0 when every check passed, 1 when any did not, 2 for a wrong command line, 3 without Chromium.
 * ARTIFACT_GC_TEST_TALLY names a file to which "site passed failed skipped" is appended.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Missing, messageOf, runProgram, tally, Usage } from "../../tools/Program.ts"
import { fileAt } from "../../tools/Repository.ts"
import * as Chromium from "../../tools/servers/Chromium.ts"
import { cacheFolder } from "../../tools/servers/Servers.ts"
import { inPage, prepare, screen, show, until } from "./site/Browser.ts"
import { deadLinks, navigated, type Page, pagesOf, type Served, serve } from "./site/Files.ts"

declare const document: Chromium.Answer
declare const location: { readonly pathname: string }

type Check = readonly [name: string, check: () => Promise<string | undefined>]

const fail = (found: ReadonlyArray<string>): undefined => {
  if (found.length > 0) throw new Error(`\n${found.join("\n")}`)
  return undefined
}

/** Pages that show a file which another page links to, and those of a folder beside its files. */
const isAside = ({ path }: Page): boolean => /^(files|deploy)\//.test(path)

const structureChecks = (folder: string, pages: ReadonlyArray<Page>): ReadonlyArray<Check> => [
  ["no link leads to nothing, nor to a heading that is missing", async () => fail(deadLinks(folder, pages))],
  [
    "every page is in the navigation of the first",
    async () => {
      const first = pages.find(({ path }) => path === "index.html")
      if (first === undefined) throw new Error("the site has no first page")
      const found = navigated(first)
      fail(
        pages
          .filter((page) => !isAside(page) && page !== first && !found.has(page.path))
          .map(({ path }) => path)
      )
      return `${found.size} of ${pages.length} pages`
    }
  ]
]

/** Opens every page, and returns what is wrong with each. */
const pageChecks = (
  tab: Chromium.Tab,
  { missing, url }: Served,
  pages: ReadonlyArray<Page>
): ReadonlyArray<Check> => [
  [
    "every page is shown at 390 pixels: no error, nothing from elsewhere, no scrolling sideways",
    async () => {
      await screen(tab, 390, "dark")
      const wrong: Array<string> = []
      for (const { path } of pages) {
        const shown = await show(tab, `${url}/${path}`)
        wrong.push(...shown.wrong.map((text) => `${path}: ${text}`))
        if (shown.title === "") wrong.push(`${path}: no heading`)
        if (shown.overflow > 0) wrong.push(`${path}: ${shown.overflow} pixels too wide`)
        if (!shown.isDark) wrong.push(`${path}: not dark on a dark screen`)
      }
      fail([...wrong, ...missing.map((path) => `${path}: asked for, and no file`)])
      return `${pages.length} pages`
    }
  ]
]

const type = (tab: Chromium.Tab, text: string) => tab.send("Input.insertText", { text })

const press = async (tab: Chromium.Tab, key: string) => {
  for (const type of ["rawKeyDown", "char", "keyUp"]) {
    const code = { Enter: 13 }[key] ?? key.charCodeAt(0)
    const text = key === "Enter" ? "\r" : key
    await tab.send("Input.dispatchKeyEvent", { type, key, text, windowsVirtualKeyCode: code })
  }
}

/** Types a word into the search and returns the titles that it finds. */
const search = async (tab: Chromium.Tab, url: string, word: string): Promise<ReadonlyArray<string>> => {
  await screen(tab, 1280, "light")
  await show(tab, `${url}/`)
  await inPage(tab, () => document.querySelector("#local-search button").click())
  await until("the search", () => inPage(tab, () => document.querySelector("#localsearch-input") && true))
  await inPage(tab, () => document.querySelector("#localsearch-input").focus())
  await type(tab, word)
  return until(`results for ${word}`, async () => {
    const found = await inPage(tab, () =>
      [...document.querySelectorAll(".VPLocalSearchBox .results a")].map((link: Chromium.Answer) =>
        link.textContent.trim().replaceAll(/\s+/g, " ")
      )
    )
    return found.length > 0 ? found : null
  })
}

const useChecks = (tab: Chromium.Tab, { url }: Served): ReadonlyArray<Check> => [
  [
    "the search finds a word, and Enter opens what it found",
    async () => {
      const found = await search(tab, url, "breaker")
      if (!found.some((title) => /breaker/i.test(title))) throw new Error(found.join("\n"))
      await press(tab, "Enter")
      const path = await until("the page", () =>
        inPage(tab, () => (location.pathname === "/" ? null : location.pathname))
      )
      return `${found.length} results, ${path}`
    }
  ],
  [
    "a click in the navigation opens a page without loading the site again",
    async () => {
      await show(tab, `${url}/`)
      await inPage(tab, () => {
        const target = document.querySelector('.VPSidebar a[href="/tutorial.html"]')
        document.title = "the same document"
        target.click()
      })
      return until("the tutorial", () =>
        inPage(tab, () => {
          const heading = document.querySelector("main h1").textContent
          return location.pathname === "/tutorial.html" && heading.startsWith("Ten minutes")
            ? "/tutorial.html"
            : null
        })
      )
    }
  ]
]

const picture = async (tab: Chromium.Tab, file: string): Promise<void> => {
  const { data } = await tab.send("Page.captureScreenshot", { format: "png" })
  writeFileSync(file, Buffer.from(data, "base64"))
}

/** Pages of every kind, to look at. */
const shownPages = [
  "index",
  "contents",
  "operations",
  "metrics",
  "api/artifact-gc",
  "bench/results/index",
  "status-page"
]

const screenshots = async (tab: Chromium.Tab, url: string, folder: string): Promise<void> => {
  mkdirSync(folder, { recursive: true })
  for (const [name, width, scheme] of [
    ["light", 1440, "light"],
    ["dark", 1440, "dark"],
    ["phone", 390, "light"]
  ] as const) {
    await screen(tab, width, scheme)
    for (const page of shownPages) {
      await show(tab, `${url}/${page}.html`)
      await picture(tab, join(folder, `${page.replaceAll("/", "-")}-${name}.png`))
    }
  }
  await search(tab, url, "breaker")
  await picture(tab, join(folder, "search.png"))
}

const main = async (args: ReadonlyArray<string>): Promise<number> => {
  const [flag, pictures] = args
  if (args.length > 0 && (flag !== "--screenshots" || pictures === undefined || args.length > 2))
    throw new Usage("usage: npm run test:site [-- --screenshots FOLDER]")
  const folder = fileAt("site/.vitepress/dist")
  const pages = pagesOf(folder)
  if (pages.length === 0) throw new Missing("The site is not built. Run: npm run site")
  const served = await serve(folder)
  const tab = await Chromium.open(cacheFolder())
  const counts = { passed: 0, failed: 0, skipped: 0 }
  try {
    await prepare(tab)
    for (const [name, check] of [
      ...structureChecks(folder, pages),
      ...pageChecks(tab, served, pages),
      ...useChecks(tab, served)
    ]) {
      const began = performance.now()
      try {
        const said = await check()
        counts.passed += 1
        const seconds = ((performance.now() - began) / 1000).toFixed(1)
        process.stdout.write(`ok      ${name} (${seconds} s)${said === undefined ? "" : `: ${said}`}\n`)
      } catch (error) {
        counts.failed += 1
        process.stdout.write(`FAILED  ${name}: ${messageOf(error)}\n`)
      }
    }
    if (pictures !== undefined) await screenshots(tab, served.url, pictures)
  } finally {
    await tab.close()
    served.close()
  }
  tally("site", counts)
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`)
  return counts.failed === 0 ? 0 : 1
}

runProgram(main)
