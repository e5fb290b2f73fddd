import { describe, expect, it } from "vitest"
import { auditLine, line, migrationLine } from "../../src/cli/ProgressLine.ts"

describe("a line of progress", () => {
  it("of a sweep shows rate and time left where the end is known", () => {
    const event = { phase: "journal", seen: 1000, deleted: 500, bytes: 5_000_000, expected: 1500 }
    expect(line(event, 10_000)).toBe(
      "journal: 1,000 seen · 500 of 1,500 deleted · 5.0 MB · 50/s · 20.0 s left"
    )
    expect(line({ ...event, expected: null }, 10_000)).toBe(
      "journal: 1,000 seen · 500 deleted · 5.0 MB · 50/s"
    )
    expect(line({ ...event, deleted: 0, expected: null }, 2000)).toBe(
      "journal: 1,000 seen · 0 deleted · 5.0 MB · 500 seen/s"
    )
    expect(line({ ...event, deleted: 0 }, 0)).toBe("journal: 1,000 seen · 0 of 1,500 deleted · 5.0 MB")
  })

  it("of an audit shows rate and time left", () => {
    const event = {
      phase: "audit",
      objects: 200,
      rows: 100,
      expectedRows: 400,
      findings: 1,
      bytesRead: 0
    } as const
    expect(auditLine(event, 5000)).toBe(
      "audit: 200 objects · 100 rows of about 400 · 1 finding · 40/s · 15.0 s left"
    )
  })

  it("of a migration shows which one runs, and before it that the database is waited for", () => {
    expect(migrationLine({ phase: "migrate", event: null }, 4000)).toBe(
      "migrate: waiting for the database · 4.0 s"
    )
    const event = { set: "collector", name: "0012_control", done: 11, expected: 15 }
    expect(migrationLine({ phase: "collector", event, before: 9 }, 4000)).toBe(
      "migrate collector: 0012_control · 12 of 15 · 4.0 s · 0.5/s · 8.0 s left"
    )
    expect(migrationLine({ phase: "collector", event, before: 11 }, 0)).toBe(
      "migrate collector: 0012_control · 12 of 15 · 0.0 s"
    )
  })
})
