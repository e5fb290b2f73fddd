/** The settings of the compose file are settings with which the program starts. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import { read } from "../../src/config/Config.ts"

const text = readFileSync(new URL("../../deploy/compose/compose.yaml", import.meta.url), "utf8")

/** Returns the variables of our containers, with the defaults of what the shell may replace. */
const variables = (): Readonly<Record<string, string>> => {
  const [, block = ""] = /environment: &environment\n((?: {4}.*\n)+)/.exec(text) ?? []
  const lines = [...block.matchAll(/^ {4}([A-Z][A-Z0-9_]+): (.+)$/gm)]
  return Object.fromEntries(
    lines.map(([, name = "", value = ""]) => [name, value.replace(/\$\{\w+:-([^}]*)\}/g, "$1")])
  )
}

describe("the compose file", () => {
  it.effect("has settings that are valid together", () =>
    Effect.gen(function* () {
      const all = variables()
      assert.isAbove(Object.keys(all).length, 12)
      const { configuration, problems } = yield* Effect.provide(
        read,
        ConfigProvider.layer(ConfigProvider.fromEnvRecord(all))
      )
      assert.deepStrictEqual(problems, [])
      assert.isNotNull(configuration)
      // The control: a lease that a paused body outlives.
      const wrong = yield* Effect.provide(
        read,
        ConfigProvider.layer(ConfigProvider.fromEnvRecord({ ...all, REGISTRY_UPLOAD_LEASE: "1 minute" }))
      )
      assert.lengthOf(wrong.problems, 1)
    })
  )
})
