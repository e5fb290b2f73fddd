/** The page as a browser shows it: roles, keyboard, contrast, widths, and the policy that lets nothing run. */
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { page, unavailable } from "../../../src/ops/page/Page.ts"
import { policy } from "../../../src/ops/page/Style.ts"
import * as Chromium from "../../../tools/servers/Chromium.ts"
import { cacheFolder } from "../../../tools/servers/Servers.ts"
import { states } from "../../fixtures/ops/Pages.ts"

const view = { version: "1.2.3", refreshes: false }

let server: Server
let url: string
let tab: Chromium.Tab

/** `/weak/…` is the same page under a policy that forbids nothing. */
const contentOf = (path: string): string => {
  const [name = ""] = path.split("/").slice(-1)
  const facts = states[name]
  return String(facts === undefined ? unavailable(view) : page(facts, view))
}

beforeAll(async () => {
  server = createServer(({ url: path = "" }, response) => {
    const isWeak = path.startsWith("/weak/")
    response
      .writeHead(200, {
        "content-type": "text/html; charset=utf-8",
        ...(isWeak ? {} : { "content-security-policy": policy })
      })
      .end(
        isWeak
          ? `${contentOf(path)}<script>document.title = "ran"</script>`
          : `${contentOf(path)}${path.startsWith("/script/") ? `<script>document.title = "ran"</script>` : ""}`
      )
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  tab = await Chromium.open(cacheFolder())
})

afterAll(async () => {
  await tab?.close()
  server?.close()
})

/** Runs a function in the page. The policy is for the page's own scripts. */
const inPage = async <A>(run: () => A): Promise<A> => {
  const { exceptionDetails, result } = await tab.send("Runtime.evaluate", {
    expression: `(${run})()`,
    returnByValue: true
  })
  assert.isUndefined(exceptionDetails, JSON.stringify(exceptionDetails))
  return result.value
}

const show = async (state: string, width: number, scheme: "light" | "dark") => {
  await tab.send("Emulation.setDeviceMetricsOverride", {
    width,
    height: 800,
    deviceScaleFactor: 1,
    mobile: width < 500
  })
  await tab.send("Emulation.setEmulatedMedia", {
    features: [{ name: "prefers-color-scheme", value: scheme }]
  })
  await tab.open(`${url}/${state}`)
}

interface Node {
  readonly role: string
  readonly name: string
  readonly description: string
  readonly level: number | undefined
}

/** What a screen reader is told, in order. */
const accessible = async (): Promise<ReadonlyArray<Node>> => {
  const { nodes } = await tab.send("Accessibility.getFullAXTree")
  return nodes
    .filter(({ ignored }: Chromium.Answer) => !ignored)
    .map(({ description, name, properties = [], role }: Chromium.Answer) => ({
      role: role?.value ?? "",
      name: name?.value ?? "",
      description: description?.value ?? "",
      level: properties.find((property: Chromium.Answer) => property.name === "level")?.value.value
    }))
}

declare const document: Chromium.Answer
declare const getComputedStyle: Chromium.Answer

/** Texts whose contrast with what is behind them is below 4.5, or 3 if they are large (WCAG 2.2, 1.4.3). */
const tooFaint = () => {
  const channels = (color: string): Array<number> => (color.match(/[\d.]+/g) ?? []).map(Number)
  const light = ([r = 0, g = 0, b = 0]: ReadonlyArray<number>): number => {
    const linear = (c: number) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
  }
  const behind = (element: Chromium.Answer): Array<number> => {
    for (let at = element; at !== null; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor)
      if (color.length === 3 || color[3] === 1) return color
    }
    return [255, 255, 255]
  }
  const found: Array<string> = []
  for (const element of document.querySelectorAll("body *")) {
    const isText = [...element.childNodes].some(
      (node: Chromium.Answer) => node.nodeType === 3 && node.textContent.trim() !== ""
    )
    if (!isText || element.closest(".unseen, style, title, desc, summary ~ *") !== null) continue
    const style = getComputedStyle(element)
    const isSvg = element.namespaceURI.endsWith("svg")
    const [a, b] = [light(channels(isSvg ? style.fill : style.color)), light(behind(element))]
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    const isLarge = Number.parseFloat(style.fontSize) >= 24
    if (contrast < (isLarge ? 3 : 4.5))
      found.push(
        `${contrast.toFixed(2)} ${element.tagName} ${element.className} ${element.textContent.slice(0, 40)}`
      )
  }
  return found
}

describe("in Chromium, the page", () => {
  it("tells a screen reader its landmarks, headings, tables and plots", async () => {
    await show("busy", 1100, "light")
    const nodes = await accessible()
    const named = (role: string) => nodes.filter((node) => node.role === role).map(({ name }) => name)
    for (const landmark of ["banner", "main", "contentinfo"]) assert.lengthOf(named(landmark), 1, landmark)
    assert.deepStrictEqual(named("navigation"), ["Page"])
    assert.includeMembers(named("region"), ["All is well", "What to do next", "Store by state", "Queues"])
    const levels = nodes.filter(({ role }) => role === "heading").map(({ level }) => level ?? 0)
    assert.strictEqual(levels[0], 1)
    assert.lengthOf(
      levels.filter((level) => level === 1),
      1
    )
    for (const [n, level] of levels.entries())
      assert.isAtMost(level, (levels[n - 1] ?? 0) + 1, "no level is left out")
    assert.includeMembers(named("columnheader"), [
      "Queue",
      "Length",
      "Oldest",
      "Repository",
      "Freed if deleted"
    ])
    assert.includeMembers(named("rowheader"), ["platform/api"])
    const plots = nodes.filter(({ role }) => /^(image|img)$/i.test(role))
    assert.lengthOf(plots, 5)
    for (const { name } of plots) assert.match(name, /\d/, "a plot says its numbers")
    assert.deepStrictEqual(named("progressbar"), ["Progress of the phase orphans"])
    for (const role of ["link", "progressbar", "table", "image"]) assert.notInclude(named(role), "")
  })

  it("keeps the roles of its tables on a phone", async () => {
    await show("busy", 320, "light")
    const roles = (await accessible()).map(({ role }) => role)
    assert.isAtLeast(roles.filter((role) => role === "table").length, 6)
    assert.includeMembers(roles, ["row", "rowheader", "cell", "columnheader"])
  })

  it("is reached by the keyboard in the order of the page, begins with a way to the content, and shows the focus", async () => {
    await show("busy", 1100, "light")
    const seen: Array<string> = []
    for (let n = 0; n < 20; n++) {
      await tab.send("Input.dispatchKeyEvent", {
        type: "keyDown",
        key: "Tab",
        code: "Tab",
        windowsVirtualKeyCode: 9
      })
      await tab.send("Input.dispatchKeyEvent", {
        type: "keyUp",
        key: "Tab",
        code: "Tab",
        windowsVirtualKeyCode: 9
      })
      const [name = "", outline = "", left = 0] = await inPage(() => {
        const element = document.activeElement
        const { outlineStyle, outlineWidth } = getComputedStyle(element)
        return [element.textContent, `${outlineStyle} ${outlineWidth}`, element.getBoundingClientRect().left]
      })
      if (seen.includes(String(name)) || String(name).length > 100) break
      assert.match(String(outline), /^(solid|auto) [1-9]/, String(name))
      assert.isAtLeast(Number(left), 0, String(name))
      seen.push(String(name))
    }
    assert.deepStrictEqual(seen, [
      "Skip to the content",
      "Reload",
      "Reload every 30 s",
      "Show the numbers",
      "Metrics",
      "Readiness"
    ])
  })

  for (const state of Object.keys(states)) {
    for (const scheme of ["light", "dark"] as const) {
      it(`can be read, ${state}, ${scheme}`, async () => {
        await show(state, 1100, scheme)
        assert.deepStrictEqual(await inPage(tooFaint), [])
      })
    }

    it(`fits a phone of 320 pixels and a wide screen, ${state}`, async () => {
      for (const width of [320, 700, 1400]) {
        await show(state, width, "light")
        const scrolled = await inPage(() => document.documentElement.scrollWidth)
        assert.isAtMost(scrolled, width)
      }
    })
  }

  it("runs no script, and loads nothing", async () => {
    await show("script/hostile", 1100, "light")
    assert.strictEqual(await inPage(() => document.title), "broken: artifact-gc")
    assert.strictEqual(
      await inPage(() => document.querySelectorAll("img, iframe, object, form, link").length),
      0
    )
    assert.notStrictEqual(
      await inPage(() => getComputedStyle(document.querySelector("section")).display),
      "none"
    )
  })

  it("would run one under another policy: the control", async () => {
    await show("weak/busy", 1100, "light")
    assert.strictEqual(await inPage(() => document.title), "ran")
  })

  it("has its style, which the policy allows by its hash", async () => {
    await show("nothing", 1100, "dark")
    assert.strictEqual(await inPage(() => getComputedStyle(document.body).backgroundColor), "rgb(18, 22, 20)")
  })
})
