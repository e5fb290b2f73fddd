/**
 * JSON that all readers understand alike.
 *
 * A registry that reads a manifest other than its clients do keeps other blobs than they pull. So what readers differ
 * about is refused: bytes that are no UTF-8, a byte order mark, and a key that comes twice in one object, of which most
 * take the last and some the first (RFC 8259, sections 4 and 8.1).
 */
import { Result } from "effect"

/** What the bytes say, or what is wrong with them. */
export const parseJson = (bytes: Uint8Array): Result.Result<unknown, string> => {
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return Result.fail("it is not UTF-8")
  }
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (error) {
    return Result.fail(`it is not JSON (${error instanceof Error ? error.message : String(error)})`)
  }
  const problem = ambiguity(text)
  return problem === null ? Result.succeed(document) : Result.fail(problem)
}

/** Python's reader gives up at about a thousand, Go's at ten thousand; manifests need five. */
const depthMax = 500

/** What readers may not agree about in `text`, which is JSON; null when there is nothing. No recursion: depth is the sender's choice. */
const ambiguity = (text: string): string | null => {
  /** The keys so far of each object that is open; null is an array. */
  const open: Array<Set<string> | null> = []
  for (let at = 0; at < text.length; at++) {
    if (open.length > depthMax) return `it is nested more than ${depthMax} deep`
    const character = text[at]
    if (character === "{") open.push(new Set())
    else if (character === "[") open.push(null)
    else if (character === "}" || character === "]") open.pop()
    else if (character === '"') {
      const end = endOfString(text, at)
      const keys = open.at(-1) ?? null
      if (keys !== null && isKey(text, end)) {
        const key: string = JSON.parse(text.slice(at, end))
        if (keys.has(key)) return `the key ${JSON.stringify(key)} comes twice in one object`
        keys.add(key)
      }
      at = end - 1
    }
  }
  return null
}

/** Behind the closing quote of the string that begins at `start`. */
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
