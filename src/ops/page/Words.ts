/** Words and small parts that several sections use. */
import { span } from "../../domain/Units.ts"
import type { Severity } from "../../status/Status.ts"
import { clockLabel, dateLabel } from "./Axis.ts"
import { type Html, html } from "./Html.ts"

/** Returns an instant as an element with its full form in a machine's notation. */
export const moment = (at: number): Html =>
  html`<time datetime="${new Date(at).toISOString()}">${dateLabel(at)} ${clockLabel(at)}</time>`

/** Returns how long ago an instant is, or how far ahead. A second more or less is now. */
export const distance = (at: number, now: number): string => {
  const millis = now - at
  if (Math.abs(millis) < 1500) return "now"
  const text = roughly(Math.abs(millis))
  return millis > 0 ? `${text} ago` : `in ${text}`
}

const minute = 60_000

/** Returns a time span as people say it: without tenths of a second, and without seconds from five minutes on. */
export const roughly = (millis: number): string => {
  if (millis < 59_500) return `${Math.round(millis / 1000)} s`
  return span(millis < 5 * minute ? millis : Math.round(millis / minute) * minute)
}

const labels: Readonly<Record<Severity | "ok", string>> = {
  ok: "✓ ok",
  broken: "✕ broken",
  attention: "! attention",
  info: "i note"
}

/** Returns a label whose meaning does not depend on its colour. */
export const chip = (severity: Severity | "ok", text = labels[severity]): Html =>
  html`<span class="chip ${severity}">${text}</span>`

/** Returns a section under a heading. */
export const section = (id: string, heading: string, content: Html): Html =>
  html`<section aria-labelledby="${id}"><h2 id="${id}">${heading}</h2>${content}</section>`

/** Returns one figure of a list of figures. */
export const figure = (name: string, value: Html | string, note: Html | string | null = null): Html =>
  html`<div><dt>${name}</dt><dd>${value}${note === null ? null : html`<small>${note}</small>`}</dd></div>`
