import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { settings } from "../../src/config/settings.ts"
import { defaultSettings } from "../../src/sweep/Settings.ts"
import { sweepSettings } from "../../src/sweep/settingsTable.ts"
import { own, read } from "./reading.ts"

/** Settings of the sweep that an operator cannot set. */
const internal = ["leftoverCutFrom"]

describe("the settings of a sweep", () => {
  it("are the rows of the table, and no others", () => {
    assert.sameMembers(Object.keys(defaultSettings), [...Object.keys(sweepSettings), ...internal])
  })

  it("have the defaults of the table", () => {
    for (const [name, { fallback }] of Object.entries(sweepSettings)) {
      assert.deepStrictEqual(defaultSettings[name as keyof typeof sweepSettings], fallback, name)
    }
  })

  it("are the settings that the program reads, under the same names", () => {
    assert.deepInclude(settings, sweepSettings)
  })

  it.effect("have one default in the library, in the environment, and in words", () =>
    Effect.gen(function* () {
      const given = Object.values(sweepSettings).flatMap(({ env, default: text }) =>
        text === null || follows.has(env) ? [] : [[env, text]]
      )
      for (const environment of [{}, own, { ...own, ...Object.fromEntries(given) }]) {
        assert.deepStrictEqual((yield* read(environment)).sweep, defaultSettings)
      }
    })
  )

  it("name variable and default in their docstrings", () => {
    const source = readFileSync(new URL("../../src/sweep/Settings.ts", import.meta.url), "utf8")
    const documented = new Map(
      [...source.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n {2}readonly (\w+):/g)].map(
        ([, text = "", name = ""]) => [name, text.replaceAll(/\s+\*?\s*/g, " ")]
      )
    )
    for (const [name, { env, default: value }] of Object.entries(sweepSettings)) {
      const text = documented.get(name) ?? ""
      assert.include(text, `Default ${written(name, value)} (${env})`, name)
    }
  })
})

/** Settings whose default in words names other settings. */
const follows = new Set(["GC_QUARANTINE", "GC_PRESENCE"])

/** The default as a docstring writes it: texts in backticks. */
const written = (name: string, value: string | null): string => {
  if (name === "presence") return `${Duration.toMinutes(defaultSettings.presence)} minutes`
  if (value === null) return "none"
  return /^(\d|GC_)/.test(value) ? value : `\`${value}\``
}
