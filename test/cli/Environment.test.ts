/** Secrets leave the environment of the process, and the program still reads them. */
import { assert, describe, it } from "@effect/vitest"
import { afterEach, vi } from "vitest"
import { takeSecrets, variables } from "../../src/cli/Environment.ts"
import { settings } from "../../src/config/settings.ts"

afterEach(() => {
  vi.unstubAllEnvs()
})

describe("the environment", () => {
  it("loses every secret, and nothing else", () => {
    const secrets = Object.values(settings)
      .filter(({ secret }) => secret)
      .map(({ env }) => env)
    const names = [...secrets, "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"]
    const kept = ["GC_GRACE", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL_FILE", "OTEL_EXPORTER_OTLP_ENDPOINT"]
    for (const name of [...names, ...kept]) vi.stubEnv(name, `value of ${name}`)
    takeSecrets()
    for (const name of names) {
      assert.isUndefined(process.env[name], name)
      assert.strictEqual(variables()[name], `value of ${name}`)
    }
    for (const name of kept) assert.strictEqual(process.env[name], `value of ${name}`)
    assert.strictEqual(variables().GC_GRACE, "value of GC_GRACE")
  })
})
