/** How findings are ordered and printed, and what is odd about settings and the disk. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as DoctorText from "../../src/cli/DoctorText.ts"
import type { TableHealth } from "../../src/database/Database.ts"
import { ask, askGroup, type Check, patience } from "../../src/doctor/Check.ts"
import { checksOf } from "../../src/doctor/Examine.ts"
import { countsOf, type Finding, ok, worstFirst } from "../../src/doctor/Finding.ts"
import { foundOfSpace, oddities } from "../../src/doctor/LocalChecks.ts"
import { foundOfHorizon, foundOfTable } from "../../src/doctor/TableChecks.ts"
import { configured } from "../fixtures/Doctor.ts"

const finding = (severity: Finding["severity"], title: string): Finding => ({
  severity,
  check: "check",
  title,
  seen: "What was seen.",
  fix: "DO THIS;",
  docs: "docs/doctor.md"
})

const check = (name: string, run: Check["run"]): Check => ({ name, about: "", docs: "docs/doctor.md", run })

const titles = (found: ReadonlyArray<{ readonly title: string }>) => found.map(({ title }) => title)

describe("findings", () => {
  const all = worstFirst([
    finding("ok", "fine"),
    finding("note", "a note"),
    finding("problem", "first"),
    finding("warning", "careful"),
    finding("problem", "second")
  ])

  it("come with the worst first, and else in the order of their checks", () => {
    assert.deepStrictEqual(titles(all), ["first", "second", "careful", "a note", "fine"])
    assert.deepStrictEqual(countsOf(all), { problem: 2, warning: 1, note: 1, ok: 1 })
  })

  it("are printed with what was seen, what to paste and where to read more", () => {
    assert.strictEqual(
      DoctorText.report(all.slice(1), false),
      [
        "problem  second (check)",
        "         seen What was seen.",
        "         fix  DO THIS;",
        "         docs docs/doctor.md",
        "warning  careful (check)",
        "         seen What was seen.",
        "         fix  DO THIS;",
        "         docs docs/doctor.md",
        "note     a note (check)",
        "         seen What was seen.",
        "         fix  DO THIS;",
        "         docs docs/doctor.md",
        "ok       fine. What was seen.",
        "1 problem, 1 warning, 1 note, 1 check found nothing wrong. Nothing was changed."
      ].join("\n")
    )
  })

  it("escape what a database or a store says, because a terminal obeys it", () => {
    assert.notInclude(DoctorText.finding({ ...finding("problem", "x"), seen: "\u001b[2J" }), "\u001b")
  })
})

describe("a check", () => {
  it.effect("that fails or dies is a finding, and the others are asked", () =>
    Effect.gen(function* () {
      const found = yield* askGroup({
        name: "things",
        gate: null,
        checks: [
          check("fails", Effect.fail({ message: "no answer" })),
          check("dies", Effect.die(new Error("a defect"))),
          check("works", Effect.succeed([ok("well")]))
        ]
      })
      assert.deepStrictEqual(
        found.map(({ check, seen }) => `${check}: ${seen}`),
        ["fails: no answer", "dies: a defect", "works: "]
      )
    })
  )

  it.effect("that gets no answer ends in time", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(ask(check("hangs", Effect.never)))
      yield* TestClock.adjust(patience)
      assert.deepStrictEqual(titles(yield* Fiber.join(fiber)), ["The check got no answer"])
    })
  )

  it.effect("behind a gate that found a problem is not asked", () =>
    Effect.gen(function* () {
      const found = yield* askGroup({
        name: "server",
        gate: check("gate", Effect.fail("refused")),
        checks: [check("one", Effect.die("asked")), check("two", Effect.die("asked"))]
      })
      assert.deepStrictEqual(titles(found), ["The check failed", "2 checks of the server were not asked"])
    })
  )
})

describe("docs/doctor.md", () => {
  const text = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")

  it.effect("has every check with its own words, and no other", () =>
    Effect.gen(function* () {
      const rows = [...text("docs/doctor.md").matchAll(/^\| `([a-z-]+)` \| (.*) \|$/gm)].map(
        ([, name, about]) => ({ name, about })
      )
      const severities = ["problem", "warning", "note", "ok"]
      assert.deepStrictEqual(
        rows.filter(({ name = "" }) => !severities.includes(name)),
        checksOf(yield* configured()).map(({ about, name }) => ({ name, about }))
      )
    })
  )

  it.effect("and other pages have the sections to which checks refer", () =>
    Effect.gen(function* () {
      const slug = (heading: string) =>
        heading
          .toLowerCase()
          .replace(/[^a-z0-9 -]/g, "")
          .replaceAll(" ", "-")
      for (const { docs } of checksOf(yield* configured())) {
        const [path = "", section] = docs.split("#")
        const sections = [...text(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => slug(heading))
        if (section !== undefined) assert.include(sections, section, docs)
      }
    })
  )
})

describe("settings", () => {
  const odd = (variables: Readonly<Record<string, string>>) =>
    Effect.map(configured(variables), (configuration) => titles(oddities(configuration)))

  it.effect("are not odd by default", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* odd({}), [])
    })
  )

  it.effect("are odd together", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* odd({
          GC_GRACE: "1 minute",
          GC_BREAKER_PERCENT: "100",
          GC_MIXED_SETTINGS: "allow",
          GC_WINDOW: "22:00-06:00",
          GC_SWEEP_MAX_DURATION: "1 minute",
          S3_ENDPOINT: "http://store.example:9000"
        }),
        [
          "GC_GRACE is very short",
          "GC_CLOCK_TOLERANCE is as long as GC_GRACE",
          "The breaker never trips",
          "Collectors may have different settings",
          "Sweeps end long before their window does",
          "The connection to the store is not encrypted"
        ]
      )
    })
  )
})

describe("a disk", () => {
  const space = (freeShare: number, totalGiB: number, freeInodes = 1) => ({
    freeBytes: freeShare * totalGiB * 1024 ** 3,
    totalBytes: totalGiB * 1024 ** 3,
    freeInodes
  })
  const severity = (of: ReturnType<typeof space>) => foundOfSpace("/data", of).map((found) => found.severity)

  it("is almost full by its share, its bytes and its inodes", () => {
    assert.deepStrictEqual(severity(space(0.5, 10)), ["ok"])
    assert.deepStrictEqual(severity(space(0.05, 1000)), ["ok"])
    assert.deepStrictEqual(severity(space(0.05, 10)), ["warning"])
    assert.deepStrictEqual(severity(space(0.01, 10)), ["problem"])
    assert.deepStrictEqual(severity(space(0.5, 1000, 0.01)), ["problem"])
  })
})

describe("a table", () => {
  const healthy: TableHealth = {
    table: "public.blobs",
    kind: "blobs",
    pages: 100_000,
    visiblePages: 99_000,
    rows: 1e6,
    liveRows: 1e6,
    deadRows: 1000,
    changedRows: 1000,
    vacuumedAt: 0,
    isAutovacuumed: true,
    age: 1e6
  }
  const found = (changes: Partial<TableHealth>) => titles(foundOfTable({ ...healthy, ...changes }))

  it("is healthy with few dead rows and a visibility map", () => {
    assert.deepStrictEqual(found({}), [])
    // A small one is read in milliseconds, whatever its state.
    assert.deepStrictEqual(found({ pages: 10, visiblePages: 0, liveRows: 10, rows: null, deadRows: 500 }), [])
  })

  it("is ill with dead rows, an incomplete map, old statistics, old rows, or without autovacuum", () => {
    const title = (what: string) => [`public.blobs: ${what}`]
    assert.deepStrictEqual(found({ deadRows: 2e6 }), title("many dead rows"))
    assert.deepStrictEqual(found({ visiblePages: 10_000 }), title("the visibility map is incomplete"))
    assert.deepStrictEqual(found({ rows: null }), title("its statistics are old"))
    assert.deepStrictEqual(found({ changedRows: 2e6 }), title("its statistics are old"))
    assert.deepStrictEqual(found({ age: 1.2e9 }), title("its oldest rows are not frozen"))
    assert.deepStrictEqual(found({ isAutovacuumed: false }), title("autovacuum is off for this table"))
  })

  it("keeps dead rows while something old is open", () => {
    const hour = 3_600_000
    const found = foundOfHorizon(
      [
        { kind: "slot", name: "standby", since: null, age: 2e6 },
        { kind: "session", name: "7", since: 0, age: 500 },
        { kind: "prepared", name: "it's", since: 0, age: 400 },
        { kind: "session", name: "8", since: 2 * hour - 1, age: 3 }
      ],
      2 * hour
    )
    assert.deepStrictEqual(
      found.map(({ fix }) => fix?.split(";")[0]),
      [
        "SELECT pg_drop_replication_slot('standby')",
        "SELECT pg_terminate_backend(7)",
        "ROLLBACK PREPARED 'it''s'"
      ]
    )
  })
})
