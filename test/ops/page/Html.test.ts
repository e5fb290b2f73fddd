/** Whether texts that others choose can become markup. */
import { assert, describe, it } from "vitest"
import { escape, html, trusted } from "../../../src/ops/page/Html.ts"
import { page } from "../../../src/ops/page/Page.ts"
import { hostile, states } from "../../fixtures/ops/Pages.ts"

describe("the template", () => {
  it("escapes values in elements and in quoted attributes", () => {
    const text = `<b a="1" b='2'>&\``
    const escaped = "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;&#96;"
    assert.strictEqual(String(html`<p title="${text}">${text}</p>`), `<p title="${escaped}">${escaped}</p>`)
  })

  it("takes other templates as markup, lists in order, and null as nothing", () => {
    const items = ["a<", null, html`<i>${"&"}</i>`, 7]
    assert.strictEqual(String(html`<ul>${items}</ul>${null}`), "<ul>a&lt;<i>&amp;</i>7</ul>")
  })

  it("takes no object for markup that only looks like a template", () => {
    const forged = { toString: () => "<script>" } as unknown as string
    assert.throws(() => html`${forged}`)
  })

  it("shows control characters and those that reverse the direction of text", () => {
    assert.strictEqual(escape("\u001b[31m\u0000\u202egnp\u2028"), "\\x1b[31m\\x00\\u{202e}gnp\\u{2028}")
    assert.strictEqual(escape("two\nlines"), "two\nlines")
  })

  it("leaves a trusted text as it is: the control", () => {
    assert.strictEqual(String(html`${trusted("<b>")}`), "<b>")
  })
})

describe("a page of hostile names and messages", () => {
  const shown = String(page(hostile, { version: `<script>"`, refreshes: true }))

  it("has the elements of the page, and no others", () => {
    const names = (text: string) =>
      new Set([...text.matchAll(/<([a-z!][\w-]*)/gi)].map(([, name]) => name?.toLowerCase()))
    const usual = new Set(
      Object.entries(states).flatMap(([name, facts]) =>
        name === "hostile" ? [] : [...names(String(page(facts, { version: "1", refreshes: true })))]
      )
    )
    for (const name of names(shown)) assert.isTrue(usual.has(name), name)
    assert.isFalse(names(shown).has("script"))
    assert.lengthOf(shown.match(/<style>/g) ?? [], 1)
  })

  it("has no attribute that runs or loads anything", () => {
    for (const [tag] of shown.matchAll(/<[a-z][^>]*>/g)) {
      const names = tag.replaceAll(/"[^"]*"/g, '""')
      assert.notMatch(names, /\s(on\w+|style|src|srcset|action|formaction)\s*=/i)
      const [, href] = /\shref="([^"]*)"/.exec(tag) ?? []
      if (href !== undefined) assert.include(["#content", "/", "/?refresh", "/metrics", "/readyz"], href)
    }
  })

  it("has no control character", () => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    assert.notMatch(shown, /[\u0000-\u0008\u000b-\u001f\u202a-\u202e\u2066-\u2069]/)
  })
})
