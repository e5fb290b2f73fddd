/** A secret is planted in every secret setting, every command runs and fails, and everything that it says is searched. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Console, Effect, Exit, Layer, Logger, Metric } from "effect"
import { Command } from "effect/cli"
import { PrometheusMetrics } from "effect/observability"
import { afterAll, afterEach, beforeEach, vi } from "vitest"
import { app, presenter } from "../../src/cli/App.ts"
import { fileVariableOf } from "../../src/config/SecretFiles.ts"
import { settings } from "../../src/config/settings.ts"
import * as Telemetry from "../../src/ops/Telemetry.ts"
import { receiver } from "../fixtures/ops/Receiver.ts"

const commands = readdirSync(new URL("help/", import.meta.url))
  .map((name) => name.replace(".txt", ""))
  .filter((name) => name !== "artifact-gc")

/** What a command needs beside its settings. */
const needed: Readonly<Record<string, ReadonlyArray<string>>> = {
  restore: ["--all"],
  set: ["GC_BATCH", "7"],
  unset: ["GC_BATCH"],
  doctor: ["--json"],
  journal: ["--retry"],
  migrate: ["--registry"]
}

const mark = "planted-7f3a"
const secrets = Object.values(settings).filter(({ secret }) => secret)
const planted = (env: string) =>
  env === "DATABASE_URL" ? `postgres://user:${mark}@127.0.0.1:1/database` : `${mark}-${env.toLowerCase()}`

const everySecret = Object.fromEntries(secrets.map(({ env }) => [env, planted(env)]))
const store = {
  S3_BUCKET: "bucket",
  S3_ENDPOINT: "http://127.0.0.1:1",
  REGISTRY_USERNAME: "ci",
  OPS_PORT: "off"
}

const folder = mkdtempSync(join(tmpdir(), "planted-"))
afterAll(() => rmSync(folder, { recursive: true }))

const inFiles = Object.fromEntries(
  secrets.map(({ env }) => {
    const path = join(folder, env)
    writeFileSync(path, `${planted(env)}\n`)
    return [fileVariableOf(env), path]
  })
)

const cases: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "a database that does not answer": { ...store, ...everySecret },
  "secrets from files": { ...store, ...inFiles },
  "a secret that is set twice": { ...store, ...everySecret, ...inFiles },
  "a URL of another database": {
    ...store,
    ...everySecret,
    DATABASE_URL: `mysql://user:${mark}@host/database`
  },
  "a URL that is none": { ...store, ...everySecret, DATABASE_URL: `user:${mark}@host` },
  "a word of sslmode that is refused": {
    ...store,
    ...everySecret,
    DATABASE_URL: `postgres://user:${mark}@host/database?sslmode=${mark}&password=${mark}&sslrootcert=x`
  },
  "settings that hold secrets by mistake": {
    ...store,
    ...everySecret,
    REGISTRY_TOKEN: `${mark} with a blank`,
    GC_GRACE: mark,
    GC_CRON: mark,
    S3_ENDPOINT: mark
  }
}

beforeEach(() => {
  for (const { env } of Object.values(settings)) vi.stubEnv(env, undefined)
})
afterEach(() => {
  vi.unstubAllEnvs()
})

/** Runs a command as the program does, and returns all that it says: results, logs as JSON and as text, and its error. */
const said = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const lines: Array<string> = []
  const say = (...parts: ReadonlyArray<unknown>) => void lines.push(parts.map(String).join(" "))
  const console_ = new Proxy(globalThis.console, { get: () => say }) as Console.Console
  const text = Logger.make<unknown, void>((options) => {
    say(Logger.formatJson.log(options))
    say(Logger.formatLogFmt.log(options))
  })
  const exit = yield* Effect.exit(Command.runWith(app, { version: "0.0.0" })(args)).pipe(
    Effect.provide(
      Layer.mergeAll(NodeServices.layer, presenter, Logger.layer([text], { mergeWithExisting: true }))
    ),
    Effect.provideService(Console.Console, console_)
  )
  if (Exit.isFailure(exit)) {
    say(Cause.pretty(exit.cause))
    say(JSON.stringify(Cause.squash(exit.cause)))
  }
  return { failed: Exit.isFailure(exit), text: lines.join("\n") }
})

describe("a planted secret", { timeout: 60_000 }, () => {
  it.live("is in no output, log, error, metric or trace of any command, however the command fails", () =>
    Effect.gen(function* () {
      const { received, url } = yield* receiver
      const telemetry = Telemetry.layer(
        { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" },
        "1.2.3"
      )
      const runs = Effect.gen(function* () {
        for (const [what, environment] of Object.entries(cases)) {
          for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
          // At once, because some wait for a store that does not answer.
          yield* Effect.forEach(
            commands,
            (name) =>
              Effect.map(said([name, ...(needed[name] ?? [])]), ({ failed, text }) => {
                assert.isTrue(failed, `${name} with ${what}: ${text}`)
                assert.notInclude(text, mark, `${name} with ${what}`)
                assert.isAbove(text.length, 20, `${name} with ${what}`)
              }),
            { concurrency: "unbounded", discard: true }
          )
          for (const name of Object.keys(environment)) vi.stubEnv(name, undefined)
        }
        assert.notInclude(yield* PrometheusMetrics.format(), mark)
      })
      yield* Effect.provide(runs, Layer.provideMerge(telemetry, Logger.layer([])))
      const bodies = received.map(({ body }) => body).join("\n")
      assert.include(bodies, "ECONNREFUSED", "control: failures are traced or logged")
      assert.notInclude(bodies, mark)
    }).pipe(Effect.scoped, (test) =>
      Effect.suspend(() => Effect.provideService(test, Metric.MetricRegistry, new Map()))
    )
  )

  it.live("that is passed as a flag is refused, and not repeated", () =>
    Effect.gen(function* () {
      for (const { env } of secrets) {
        const flag = `--${env.toLowerCase().replaceAll("_", "-")}`
        for (const args of [[`${flag}=${mark}`], [flag, mark]]) {
          const { failed, text } = yield* said(["sweep", ...args])
          assert.isTrue(failed)
          assert.notInclude(text, mark, args.join(" "))
        }
      }
    })
  )

  it.live("is found where it is printed: the control", () =>
    Effect.gen(function* () {
      const { text } = yield* said(["sweep", `--${mark}`])
      assert.include(text, mark)
    })
  )
})
