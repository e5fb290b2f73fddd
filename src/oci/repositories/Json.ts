/**
 * JSON that all readers understand alike.
 *
 * A registry that reads a manifest differently from its clients keeps other blobs than they pull. Documents
 * that readers differ about are therefore refused: bytes that are not UTF-8, a byte order mark, and an object
 * that has a key twice. Of two equal keys most readers take the last and some the first (RFC 8259, sections 4
 * and 8.1).
 */
import { Result } from "effect"

/** Parses the bytes. Fails with a clause that says why they are refused. */
export const parseJson = (bytes: Uint8Array): Result.Result<unknown, string> => {
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return Result.fail("it is not UTF-8")
  }
  const tooMuch = excess(text)
  if (tooMuch !== null) return Result.fail(tooMuch)
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (error) {
    return Result.fail(`it is not JSON (${error instanceof Error ? error.message : String(error)})`)
  }
  const problem = ambiguity(text)
  return problem === null ? Result.succeed(document) : Result.fail(problem)
}

/**
 * Deepest nesting. Python's reader fails at about a thousand levels, Go's at ten thousand; manifests need
 * five.
 */
const depthMax = 500

/**
 * Most values in a document, counted by commas outside of strings. An index of ten thousand images has half of them. Without
 * this bound, 4 MiB of the smallest annotations stopped the process for 0.4 s (2026-11-29).
 */
const valuesMax = 200_000

/**
 * Returns why a text is more than any manifest needs, or null. It runs before the parser, which takes memory and time by depth
 * and by number of values.
 */
const excess = (text: string): string | null => {
  let depth = 0
  let values = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) at = endOfString(text, at) - 1
    else if (code === openBrace || code === openBracket) {
      depth += 1
      if (depth > depthMax) return `it is nested more than ${depthMax} deep`
    } else if (code === closeBrace || code === closeBracket) depth -= 1
    else if (code === comma) {
      values += 1
      if (values > valuesMax) return `it has more than ${valuesMax} values`
    }
  }
  return null
}

const [quote, comma, openBracket, closeBracket, openBrace, closeBrace] = [0x22, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d]

/**
 * Returns what readers may differ about in a JSON text, or null. Does not recurse, because the sender chooses
 * the depth.
 */
const ambiguity = (text: string): string | null => {
  /** The keys read so far of each open object. Null stands for an array. */
  const open: Array<Set<string> | null> = []
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === "{") open.push(new Set())
    else if (character === "[") open.push(null)
    else if (character === "}" || character === "]") open.pop()
    else if (character === '"') {
      const end = endOfString(text, at)
      const keys = open.at(-1) ?? null
      if (keys !== null && isKey(text, end)) {
        const key: string = JSON.parse(text.slice(at, end))
        if (keys.has(key)) return `the key ${JSON.stringify(key)} occurs twice in one object`
        keys.add(key)
      }
      at = end - 1
    }
  }
  return null
}

/** Returns the index behind the closing quote of the string that begins at `start`. */
const endOfString = (text: string, start: number): number => {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++
    else if (text[at] === '"') return at + 1
  }
  return text.length
}

const isKey = (text: string, end: number): boolean => {
  let at = end
  while (" \t\n\r".includes(text[at] ?? "x")) at++
  return text[at] === ":"
}
