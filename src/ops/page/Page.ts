/** The page: a pure function of what is known. No script is needed, and none is allowed. */
import type { PageFacts } from "./Facts.ts"
import { type Html, html } from "./Html.ts"
import { advice, hero, progress } from "./Now.ts"
import { collectors, safety } from "./Safety.ts"
import { deadLetters, queues, repositories, store } from "./Stores.ts"
import { style } from "./Style.ts"
import { trends } from "./Trends.ts"
import { moment } from "./Words.ts"

/** How the page is shown. */
export interface ViewOptions {
  /** The version of artifact-gc. */
  readonly version: string
  /** Whether a browser loads it again and again. */
  readonly refreshes: boolean
}

/** Seconds between two loads of a page that loads itself again. */
export const refreshSeconds = 30

/** The address of the page that loads itself again. */
export const refreshing = "/?refresh"

/** Returns the page. */
export const page = (facts: PageFacts, options: ViewOptions): Html => {
  const { status } = facts
  return document(
    options,
    status.health === "ok" ? "artifact-gc" : `${status.health}: artifact-gc`,
    html`<span class="about">${status.database} · ${moment(Date.parse(status.at))} UTC</span>`,
    html`${hero(facts)}${advice(facts)}${progress(facts)}${trends(facts)}
<div class="pair"><div>${store(facts)}</div><div>${queues(facts)}</div></div>
${deadLetters(facts)}${safety(facts)}${collectors(facts)}${repositories(facts)}`
  )
}

/** Returns the page of a process that cannot read the catalogue. */
export const unavailable = (options: ViewOptions): Html =>
  document(
    options,
    "broken: artifact-gc",
    html`<span class="about">state unknown</span>`,
    html`<section class="hero broken" aria-labelledby="health"><h1 id="health">The database did not answer</h1>
<p class="soft">Nothing is known about the collectors right now. Sweeps need the database too, so nothing is deleted meanwhile.</p></section>
<section aria-labelledby="next"><h2 id="next">What to do next</h2><p>Look at the log of this process for the reason, and at the database. Then open this page again.</p><pre><code>artifact-gc status</code></pre></section>`
  )

const document = (
  { refreshes, version }: ViewOptions,
  title: string,
  about: Html,
  content: Html
): Html => html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
${refreshes ? html`<meta http-equiv="refresh" content="${refreshSeconds}">` : null}
${style}</head><body><a class="skip" href="#content">Skip to the content</a>
<header><div class="wide"><span class="name">artifact-gc</span>${about}
<nav aria-label="Page">${
  refreshes
    ? html`<a href="/">Stop reloading every ${refreshSeconds} s</a>`
    : html`<a href="/">Reload</a><a href="${refreshing}">Reload every ${refreshSeconds} s</a>`
}</nav></div></header>
<main id="content" class="wide" tabindex="-1">${content}</main>
<footer><div class="wide"><ul><li>artifact-gc ${version}</li><li>This page changes nothing.</li><li><a href="/metrics">Metrics</a></li><li><a href="/readyz">Readiness</a></li></ul></div></footer>
</body></html>
`
