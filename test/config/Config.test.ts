import { inspect } from "node:util"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { Command } from "effect/cli"
import { afterEach, beforeEach, vi } from "vitest"
import { allFlags, configuration } from "../../src/cli/Configured.ts"
import type { Configuration } from "../../src/config/Config.ts"
import { settings } from "../../src/config/settings.ts"
import { defaultNames } from "../../src/domain/CatalogNames.ts"
import { defaultSettings } from "../../src/sweep/Settings.ts"
import { type Environment, own, problems, read } from "./reading.ts"
import { type Sample, samples } from "./samples.ts"

const all = Object.values(settings)
const sampled = Object.entries(samples).map(([name, sample]): [(typeof all)[number], Sample] => [
  settings[name as keyof typeof settings],
  sample
])
/** Returns the problems of one setting; others may contradict it. */
const problemsOf = (env: string, environment: Environment) =>
  Effect.map(problems(environment), (lines) => lines.filter((line) => line.startsWith(`${env}:`)))

const accepts = Effect.fnUntraced(function* (env: string, value: string) {
  assert.deepStrictEqual(yield* problemsOf(env, { [env]: value }), [], value)
})

const refuses = Effect.fnUntraced(function* (env: string, value: string) {
  assert.lengthOf(yield* problemsOf(env, { [env]: value }), 1, value)
})

/** As the binary reads them: flags, then the process's environment. */
const readFlags = Effect.fnUntraced(function* (flags: Environment, environment: Environment) {
  for (const [env, value] of Object.entries(environment)) vi.stubEnv(env, value)
  const found: Array<Configuration> = []
  const command = Command.make("test", allFlags, (given) =>
    Effect.map(configuration(given), (config) => {
      found.push(config)
    })
  )
  const args = Object.entries(flags).flatMap(([env, value]) => [flagOf(env), value ?? ""])
  yield* Effect.provide(Command.runWith(command, { version: "test" })(args), NodeServices.layer)
  return found[0] ?? assert.fail("the command did not run")
})

const flagOf = (env: string): string => `--${env.toLowerCase().replaceAll("_", "-")}`

beforeEach(() => {
  for (const { env } of all) vi.stubEnv(env, undefined)
})
afterEach(() => {
  vi.unstubAllEnvs()
})

describe("a setting", () => {
  for (const [{ env }, { value, of, expected, beside }] of sampled) {
    it.effect(`${env} is read from the environment`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(of(yield* read({ ...own, ...beside, [env]: value })), expected)
      })
    )
  }

  for (const [{ env, secret }, { value, other, of, expected, beside }] of sampled) {
    if (secret) continue
    it.effect(`${env} is read from its flag before the environment`, () =>
      Effect.gen(function* () {
        const config = yield* readFlags({ [env]: value }, { ...own, ...beside, [env]: other })
        assert.deepStrictEqual(of(config), expected)
      })
    )
  }

  it("is a flag unless it is a secret, because command lines are public", () => {
    assert.sameMembers(
      Object.keys(allFlags.settings),
      all.filter(({ secret }) => !secret).map(({ env }) => env)
    )
    assert.sameMembers(
      all.filter(({ secret }) => secret).map(({ env }) => env),
      [
        "DATABASE_URL",
        "S3_ACCESS_KEY_ID",
        "S3_SECRET_ACCESS_KEY",
        "S3_SESSION_TOKEN",
        "REGISTRY_PASSWORD",
        "REGISTRY_TOKEN"
      ]
    )
  })

  it.effect("that is empty counts as absent, unless it is a secret", () =>
    Effect.gen(function* () {
      const empty = Object.fromEntries(all.filter(({ secret }) => !secret).map(({ env }) => [env, ""]))
      assert.deepStrictEqual(yield* read(empty), yield* read({}))
      for (const { env } of all.filter(({ secret }) => secret)) {
        assert.deepStrictEqual(yield* problemsOf(env, { [env]: "" }), [
          `${env}: set, but empty; write its value, or remove the variable`
        ])
      }
    })
  )

  it.effect("that is empty leaves the place to what a command takes otherwise", () =>
    Effect.gen(function* () {
      vi.stubEnv("GC_GRACE", "")
      const config = yield* configuration({ settings: {} }, { GC_GRACE: "7 seconds" })
      assert.deepStrictEqual(config.sweep.grace, Duration.seconds(7))
    })
  )

  it.effect("that is left out has its documented default", () =>
    Effect.gen(function* () {
      /** Settings whose default is another setting's value, or is given in words. */
      const following = ["GC_QUARANTINE", "S3_FORCE_PATH_STYLE", "GC_PRESENCE"]
      const written = all.flatMap(({ env, default: value }) =>
        value === null || following.includes(env) ? [] : [[env, value]]
      )
      assert.deepStrictEqual(yield* read(Object.fromEntries(written)), yield* read({}))
      assert.deepStrictEqual(yield* read({ ...own, ...Object.fromEntries(written) }), yield* read(own))
    })
  )

  it.effect("that is left out has the library's default", () =>
    Effect.gen(function* () {
      const config = yield* read({})
      assert.deepStrictEqual(config.sweep, defaultSettings)
      assert.deepStrictEqual(config.names, { ...defaultNames, notReferences: [] })
      assert.deepStrictEqual(config.place, { _tag: "Embedded", directory: ".artifact-gc", durable: true })
      assert.deepStrictEqual(config.when, { _tag: "interval", interval: Duration.hours(1) })
    })
  )
})

describe("bounds", () => {
  for (const { env, form } of all) {
    const found = /^a whole number from (\d+) to (\d+)$/.exec(form)
    if (found === null) continue
    const [least, most] = [Number(found[1]), Number(found[2])]
    it.effect(`${env} is from ${least} to ${most}, and whole`, () =>
      Effect.gen(function* () {
        for (const value of [least, most]) yield* accepts(env, String(value))
        for (const value of [least - 1, most + 1, least + 0.5]) yield* refuses(env, String(value))
      })
    )
  }

  /** The least a duration may be, and a millisecond less. */
  const second = ["1 second", "999 millis"] as const
  const zero = ["0 seconds", "-1 millis"] as const
  const durations: Readonly<Record<string, readonly [string, string]>> = {
    DATABASE_STATEMENT_TIMEOUT: second,
    DATABASE_LOCK_TIMEOUT: ["10 millis", "9 millis"],
    S3_REQUEST_TIMEOUT: second,
    GC_INTERVAL: second,
    GC_JITTER: zero,
    GC_SHUTDOWN_DEADLINE: second,
    GC_GRACE: zero,
    GC_QUARANTINE: zero,
    GC_UPLOAD_GRACE: second,
    GC_LEFTOVER_EVERY: second,
    GC_LEFTOVER_GRACE: zero,
    GC_WRITER_PATIENCE: second,
    GC_DELETE_DELAY: zero,
    GC_SWEEP_MAX_DURATION: second,
    GC_SCAN_EVERY: ["1 minute", "59999 millis"],
    GC_HISTORY: ["1 hour", "3599999 millis"],
    GC_BACKOFF_BASE: second,
    GC_BACKOFF_CAP: second,
    GC_LEASE: ["30 seconds", "29999 millis"],
    GC_CLOCK_TOLERANCE: ["2 seconds", "1999 millis"],
    GC_PRESENCE: zero,
    GC_UNTAGGED_GRACE: zero,
    SERVE_IDLE_TIMEOUT: second,
    SERVE_REDIRECT_LIFE: second,
    SERVE_MINIMUM_RATE_WINDOW: second,
    REGISTRY_HOLD: second,
    REGISTRY_UPLOAD_LEASE: ["2 seconds", "1999 millis"]
  }

  it("are tested for every duration", () => {
    assert.sameMembers(
      Object.keys(durations),
      all.filter(({ form }) => form.startsWith("a duration")).map(({ env }) => env)
    )
  })

  for (const [env, [least, less]] of Object.entries(durations)) {
    it.effect(`${env} is from ${least} to 520 weeks`, () =>
      Effect.gen(function* () {
        const judge = (value: string) => problemsOf(env, { S3_REQUEST_TIMEOUT: "1 second", [env]: value })
        // Back-off and lease are also compared with each other, which this test ignores.
        const outside = `${env}: must be between ${least} and 520 weeks;`
        for (const value of [least, "520 weeks"])
          assert.notInclude((yield* judge(value)).join("\n"), outside, value)
        for (const value of [less, "314496000001 millis", "Infinity"])
          assert.include((yield* judge(value)).join("\n"), outside, value)
      })
    )
  }

  it.effect("SERVE_ORIGINS has exact origins only, and no wildcard", () =>
    Effect.gen(function* () {
      for (const value of ["https://ui.lan", "http://127.0.0.1:81, https://x.lan"])
        yield* accepts("SERVE_ORIGINS", value)
      for (const value of ["*", "https://*.lan", "ui.lan", "https://ui.lan/", "https://ui.lan/x", "null"])
        assert.include(
          (yield* problemsOf("SERVE_ORIGINS", { SERVE_ORIGINS: value })).join("\n"),
          "SERVE_ORIGINS: must",
          value
        )
    })
  )

  for (const [env, words] of [
    ["S3_VERSIONED_DELETE", ["markers", "versions"]],
    ["GC_MIXED_SETTINGS", ["refuse", "allow"]]
  ] as const) {
    it.effect(`${env} is one of two words`, () =>
      Effect.gen(function* () {
        for (const value of words) yield* accepts(env, value)
        for (const value of ["objects", words[1].toUpperCase(), "true"]) yield* refuses(env, value)
      })
    )
  }
})

describe("an invalid configuration", () => {
  it.effect("reports every problem at once, each with the variable's name and the form to write", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        read({ GC_GRACE: "an hour", GC_BATCH: "1001", S3_FORCE_PATH_STYLE: "perhaps", GC_CRON: "often" })
      )
      assert.strictEqual(
        error.message,
        `Invalid configuration; nothing was done:
  S3_FORCE_PATH_STYLE: Expected "true" | "yes" | "on" | "1" | "y" | "false" | "no" | "off" | "0" | "n"; write true or false
  GC_GRACE: Expected a valid Duration string; write a duration such as "90 seconds" or "1 hour"
  GC_BATCH: Expected a value between 1 and 1000; write a whole number from 1 to 1000
  GC_CRON: Invalid number of segments in cron expression (expected a cron expression such as "30 2 * * *")
Every setting is explained in docs/configuration.md.`
      )
    })
  )

  it.effect("never shows a value of any setting", () =>
    Effect.gen(function* () {
      const value = "hunter2"
      const error = yield* Effect.flip(read(Object.fromEntries(all.map(({ env }) => [env, value]))))
      assert.isAbove(error.problems.length, 20)
      for (const cron of [
        `${value} * * * *`,
        `1-${value} * * * *`,
        `* * * * * ${value}`,
        `*/${value} * * * *`
      ]) {
        const [problem] = yield* problems({ GC_CRON: cron })
        assert.match(problem ?? "", /^GC_CRON: /)
        assert.notInclude(problem, value)
      }
      for (const shown of [error.message, JSON.stringify(error), inspect(error, { depth: null })])
        assert.notInclude(shown, value)
    })
  )

  it.effect("or a valid one never prints a secret", () =>
    Effect.gen(function* () {
      const secrets = {
        DATABASE_URL: "postgres://u:SECRET1@h/db",
        S3_ACCESS_KEY_ID: "SECRET2",
        S3_SECRET_ACCESS_KEY: "SECRET3",
        S3_SESSION_TOKEN: "SECRET4",
        REGISTRY_PASSWORD: "SECRET5",
        REGISTRY_TOKEN: "SECRET6"
      }
      const config = yield* read({ ...secrets, S3_BUCKET: "b", REGISTRY_USERNAME: "n" })
      const error = yield* Effect.flip(read({ ...secrets, GC_BATCH: "0" }))
      for (const thing of [config, error])
        for (const shown of [String(thing), JSON.stringify(thing), inspect(thing, { depth: null })])
          assert.notMatch(shown, /SECRET/)
      assert.notMatch(error.message, /SECRET/)
    })
  )
})
