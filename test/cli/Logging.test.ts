import { Cause } from "effect"
import { describe, expect, it } from "vitest"
import { type Entry, lines } from "../../src/cli/Logging.ts"

const entry = (over: Partial<Entry>): Entry => ({
  date: new Date(2026, 10, 30, 9, 5, 7),
  level: "Info",
  message: ["Sweep complete."],
  annotations: {},
  cause: Cause.empty,
  ...over
})

describe("a line of the log for people", () => {
  it("shows time, level and message, and no name of a fibre", () => {
    expect(lines(entry({}), false)).toBe("09:05:07 INFO  Sweep complete.")
  })

  it("shows short annotations, and leaves a report to the JSON log", () => {
    const annotations = { report: { phases: { orphans: { seen: 1 } } }, setting: "REGISTRY_ACCESS" }
    expect(lines(entry({ annotations }), false)).toBe(
      "09:05:07 INFO  Sweep complete.  (setting=REGISTRY_ACCESS)"
    )
  })

  it("ends an error with the section that explains it", () => {
    const annotations = { error: "CollectionPaused", docs: "docs/operations.md#pausing" }
    expect(lines(entry({ level: "Error", message: ["Paused."], annotations }), false)).toBe(
      "09:05:07 ERROR Paused.\n               See docs/operations.md#pausing."
    )
  })

  it("has colours only if asked for, and none that a message brings", () => {
    const message = ["key \u001b[31mred"]
    expect(lines(entry({ message }), false)).not.toContain("\u001b")
    expect(lines(entry({ message }), true)).toContain("\u001b[32mINFO ")
    expect(lines(entry({ message }), true)).not.toContain("\u001b[31m")
  })

  it("shows the cause of a defect", () => {
    const cause = Cause.die(new Error("impossible"))
    expect(lines(entry({ level: "Fatal", cause }), false)).toMatch(/\n {15}Error: impossible/)
  })
})
