/** What the terminal of a person can show. */

/** The part of a stream that says whether it is a terminal. */
export interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
}

type Variables = Readonly<Record<string, string | undefined>>

const isGiven = (value: string | undefined): boolean => value !== undefined && value !== ""

/** Returns whether text may have colours: on a terminal, unless NO_COLOR or TERM=dumb forbid them. */
export const canColor = (out: Output, variables: Variables): boolean =>
  out.isTTY === true && !isGiven(variables.NO_COLOR) && variables.TERM !== "dumb"

/** Returns whether a line may be written over: on a terminal that knows how. */
export const canRewrite = (out: Output, variables: Variables): boolean =>
  out.isTTY === true && variables.TERM !== "dumb"

/** Moves to the beginning of a terminal's line and erases it. */
export const eraseLine = "\r\u001b[2K"

/** Lines longer than this are hard to read, however wide the terminal. */
const widest = 100

/** Narrower than this, words no longer fit beside their indent. */
const narrowest = 40

const usual = 80

/** Returns the width to which text is wrapped: of the terminal, of COLUMNS, or 80. */
export const widthOf = (out: Output, variables: Variables): number => {
  const asked = out.isTTY === true ? (out.columns ?? Number.NaN) : Number(variables.COLUMNS ?? Number.NaN)
  return Number.isInteger(asked) && asked > 0 ? Math.min(widest, Math.max(narrowest, asked)) : usual
}

/** Returns the width of results for people. In a pipe a line stays whole, so that scripts find it. */
export const resultWidth = (out: Output, variables: Variables): number =>
  out.isTTY === true ? widthOf(out, variables) : Number.POSITIVE_INFINITY

/**
 * Returns a text behind a label, with further lines below its beginning. A line with a fix stays whole, because it is pasted.
 */
export const hanging = (label: string, text: string, width: number): ReadonlyArray<string> => {
  const margin = " ".repeat(label.length)
  const lines = text.split("\n").flatMap((line) => {
    const indent = /^ */.exec(line)?.[0] ?? ""
    return line.includes("fix: ") || line.length + margin.length <= width
      ? [line]
      : wrapped(line, width - margin.length - indent.length).map((part) => `${indent}${part}`)
  })
  return lines.map((line, index) => `${index === 0 ? label : margin}${line}`)
}

/** Returns words as lines of at most `width` columns. A longer word has a line of its own. */
export const wrapped = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(/\s+/).filter((word) => word !== "")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else {
      line = line === "" ? word : `${line} ${word}`
    }
  }
  return line === "" ? lines : [...lines, line]
}
