import { describe, expect, it } from "vitest"
import { canColor, canRewrite, hanging, resultWidth, widthOf, wrapped } from "../../src/cli/Terminal.ts"

const terminal = { isTTY: true, columns: 132 }
const pipe = {}

describe("a terminal", () => {
  it("has colours, unless NO_COLOR or TERM=dumb forbid them", () => {
    expect(canColor(terminal, {})).toBe(true)
    expect(canColor(terminal, { NO_COLOR: "" })).toBe(true)
    expect(canColor(terminal, { NO_COLOR: "1" })).toBe(false)
    expect(canColor(terminal, { TERM: "dumb" })).toBe(false)
    expect(canColor(pipe, {})).toBe(false)
  })

  it("shows progress in a line, unless it is dumb", () => {
    expect(canRewrite(terminal, { NO_COLOR: "1" })).toBe(true)
    expect(canRewrite(terminal, { TERM: "dumb" })).toBe(false)
    expect(canRewrite(pipe, {})).toBe(false)
  })

  it("gives text its width, within what can be read", () => {
    expect(widthOf({ isTTY: true, columns: 72 }, {})).toBe(72)
    expect(widthOf(terminal, {})).toBe(100)
    expect(widthOf({ isTTY: true, columns: 10 }, {})).toBe(40)
    expect(widthOf({ isTTY: true }, {})).toBe(80)
    expect(widthOf(pipe, {})).toBe(80)
    expect(widthOf(pipe, { COLUMNS: "60" })).toBe(60)
    expect(widthOf(pipe, { COLUMNS: "wide" })).toBe(80)
  })
})

describe("a text behind a label", () => {
  it("has further lines below its beginning, and a fix in one line", () => {
    expect(hanging("note: ", "one two three\n  four five\n  a fix: stays as it is", 16)).toEqual([
      "note: one two",
      "      three",
      "        four",
      "        five",
      "        a fix: stays as it is"
    ])
  })

  it("keeps its lines in a pipe", () => {
    expect(hanging("note: ", "one two three", resultWidth(pipe, { COLUMNS: "10" }))).toEqual([
      "note: one two three"
    ])
  })
})

describe("wrapping", () => {
  it("breaks between words, and never within one", () => {
    expect(wrapped("a bb  ccc\ndddd", 6)).toEqual(["a bb", "ccc", "dddd"])
    expect(wrapped("see docs/operations.md now", 10)).toEqual(["see", "docs/operations.md", "now"])
    expect(wrapped("", 10)).toEqual([])
  })
})
