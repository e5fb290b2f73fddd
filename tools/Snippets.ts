/**
 * The TypeScript blocks of the documentation and of docstrings, as files that the compiler and vitest read. docs/library.md
 * explains how pages mark them.
 */

/** What is done with a block. `run` and `test` blocks are compiled, too. */
export type SnippetUse = "compile" | "run" | "test"

/** A block of a page. */
export interface Snippet {
  /** The page, relative to the repository. */
  readonly page: string
  /** The line of the block's fence, from 1 on. */
  readonly line: number
  /** What is done with it. */
  readonly use: SnippetUse
  /**
   * The page with every other line empty, so that the compiler names the page's own lines. The comment that holds a
   * fragment's imports is a part of it.
   */
  readonly code: string
  /** Whether it is a module: it has an import, or a comment above it that has one. */
  readonly isModule: boolean
}

const fence = /^```(?:ts|typescript)\b(?: (run|test))?\s*$/

/** Returns the blocks of a page, in their order. */
export const snippetsOf = (page: string, text: string): ReadonlyArray<Snippet> => {
  const lines = text.split("\n")
  const found: Array<Snippet> = []
  let preamble: ReadonlyArray<number> = []
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? ""
    if (line === "<!-- ts") {
      const end = lines.indexOf("-->", at)
      preamble = numbers(at + 1, end)
      at = end
      continue
    }
    const [isFence, use = "compile"] = fence.exec(line) ?? []
    if (isFence === undefined) {
      // A comment belongs to the block below it, and to no other.
      if (line.trim() !== "") preamble = []
      continue
    }
    const end = lines.indexOf("```", at)
    const kept = new Set([...preamble, ...numbers(at + 1, end)])
    const code = lines.map((text, index) => (kept.has(index) ? text : "")).join("\n")
    found.push({ page, line: at + 1, use: use as SnippetUse, code, isModule: /^import /m.test(code) })
    preamble = []
    at = end
  }
  return found
}

/** A line of a docstring, with its text after the asterisk. */
const docstringLine = /^\s*\* ?(.*)$/

/**
 * Returns the blocks of a source's docstrings, in their order. They are compiled. A reader sees a docstring on hover, so
 * its blocks need no imports: `preambleOf` returns them, and what else the block takes from its surroundings, as one
 * line. A block without imports of its own is the body of a generator, where `yield*` may be used.
 */
export const docstringSnippetsOf = (
  page: string,
  text: string,
  preambleOf: (code: string) => string
): ReadonlyArray<Snippet> => {
  // What is no line of a docstring is empty: code may have fences in templates.
  const lines = text.split("\n").map((line) => docstringLine.exec(line)?.[1] ?? "")
  return snippetsOf(page, lines.join("\n")).map((snippet) => {
    const preamble = preambleOf(snippet.code)
    const [, ...rest] = snippet.code.split("\n")
    const body = rest.join("\n")
    const code = snippet.isModule ? body : `${body}\n})`
    const start = snippet.isModule ? "" : "export const block = Effect.gen(function* () {"
    return { ...snippet, code: `${preamble}; ${start}\n${code}`, isModule: true }
  })
}

const numbers = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i)

/** Returns a name for a block's file: `docs_library_storage_md_L12.ts`. */
export const fileNameOf = ({ line, page }: Snippet): string => `${page.replaceAll(/[^\w]/g, "_")}_L${line}.ts`
