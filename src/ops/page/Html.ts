/**
 * HTML that is escaped by default. A value becomes text whatever it contains, in elements and in quoted attributes. Only
 * another template is taken as markup, so a repository's name or a store's message cannot become an element.
 */
import { printableLines } from "../../domain/printable.ts"

/** Markup. Only {@link html} and {@link trusted} make it. */
export class Html {
  readonly #markup: string

  private constructor(markup: string) {
    this.#markup = markup
  }

  /** Returns the markup. */
  toString(): string {
    return this.#markup
  }

  /** Takes a text as markup: see {@link trusted}. */
  static of(markup: string): Html {
    return new Html(markup)
  }
}

/** What a template may contain. Null is nothing. */
export type Value = Html | string | number | null | ReadonlyArray<Value>

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "`": "&#96;"
}

/**
 * Returns a value as text of an element or of a quoted attribute. Control characters, and those that reverse the direction
 * of text, become visible.
 */
export const escape = (value: string): string =>
  printableLines(value).replaceAll(/[&<>"'`]/g, (character) => entities[character] ?? "")

const render = (value: Value): string => {
  if (value === null) return ""
  if (value instanceof Html) return value.toString()
  if (typeof value === "string") return escape(value)
  return typeof value === "number" ? escape(String(value)) : value.map(render).join("")
}

/** Makes markup of a template. Values are escaped. An attribute that contains one must be quoted. */
export const html = (strings: TemplateStringsArray, ...values: ReadonlyArray<Value>): Html =>
  Html.of(
    strings.map((text, index) => (index === 0 ? text : render(values[index - 1] ?? null) + text)).join("")
  )

/** Takes a constant of the program as markup. Never give it text from elsewhere. */
export const trusted = (markup: string): Html => Html.of(markup)

/** Markup of nothing. */
export const nothing: Html = html``
