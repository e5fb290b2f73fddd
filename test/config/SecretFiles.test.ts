/** Secrets in files, and the words of sslmode: what is accepted, and what is refused by which sentence. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { afterAll } from "vitest"
import { settings } from "../../src/config/settings.ts"
import { own, problems, read } from "./reading.ts"
import { samples } from "./samples.ts"

const folder = mkdtempSync(join(tmpdir(), "secrets-"))
afterAll(() => rmSync(folder, { recursive: true }))

const file = (name: string, content: string) => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

describe("a secret in a file", () => {
  for (const [name, setting] of Object.entries(settings)) {
    if (!setting.secret) continue
    const { env } = setting
    const variable = `${env}_FILE`
    const { beside, expected, of, value } = samples[name as keyof typeof settings]
    it.effect(`${variable} is read without the line ends behind it, and refused beside ${env}`, () =>
      Effect.gen(function* () {
        const path = file(env, `${value}\r\n`)
        const others: Record<string, string | undefined> = {
          ...own,
          ...beside,
          [env]: undefined,
          [variable]: path
        }
        const config = yield* read(others)
        assert.deepStrictEqual(of(config), expected)
        assert.deepStrictEqual(config.secretFiles, { [env]: path })
        assert.deepStrictEqual(yield* problems({ ...others, [env]: value }), [
          `${variable}: set either ${env} or ${variable}, not both`
        ])
        assert.deepStrictEqual(yield* problems({ ...others, [variable]: file("empty", "\n") }), [
          `${variable}: ${join(folder, "empty")} is empty; write the value of ${env} into it`
        ])
        assert.deepStrictEqual(yield* problems({ ...others, [variable]: "/absent" }), [
          `${variable}: /absent cannot be read (ENOENT); correct the path, or let this user read the file`
        ])
        assert.include((yield* problems({ ...others, [variable]: "" })).join(), `${variable}: set, but empty`)
      })
    )
  }
})

describe("sslmode", () => {
  const at = (query: string, more: Readonly<Record<string, string>> = {}) => ({
    ...own,
    DATABASE_URL: `postgres://u:p@h/db${query}`,
    ...more
  })

  it.effect("says what is verified", () =>
    Effect.gen(function* () {
      const ca = { DATABASE_TLS_CA: "/ca" }
      const expected = [
        ["", {}, "off"],
        ["", ca, "full"],
        ["?sslmode=disable", {}, "off"],
        ["?sslmode=no-verify", {}, "nothing"],
        ["?sslmode=require", {}, "full"],
        ["?sslmode=verify-ca", ca, "authority"],
        ["?sslmode=verify-full", {}, "full"]
      ] as const
      for (const [query, more, verify] of expected) {
        const { place } = yield* read(at(query, more))
        assert.strictEqual(place._tag === "External" && place.tls.verify, verify, query)
      }
    })
  )

  const refused: ReadonlyArray<readonly [string, Readonly<Record<string, string>>, RegExp]> = [
    ["?sslmode=prefer", {}, /^DATABASE_URL: sslmode=prefer falls back to a connection without encryption/],
    ["?sslmode=allow", {}, /^DATABASE_URL: sslmode=allow falls back/],
    ["?sslmode=hunter2", {}, /^DATABASE_URL: its sslmode is unknown; write verify-full/],
    ["?sslmode=verify-ca", {}, /^DATABASE_TLS_CA: missing/],
    ["?sslmode=disable", { DATABASE_TLS_CA: "/ca" }, /^DATABASE_TLS_CA: not used/],
    ["?sslmode=no-verify", { DATABASE_TLS_CA: "/ca" }, /^DATABASE_TLS_CA: not used/],
    ["?sslrootcert=/ca", {}, /^DATABASE_URL: sslrootcert is not read; .* set DATABASE_TLS_CA$/],
    ["?ssl=true", {}, /^DATABASE_URL: ssl is not supported/],
    ["?host=/run/postgresql&sslmode=require", {}, /^DATABASE_URL: a socket on this host is not encrypted/],
    ["", { DATABASE_TLS_CERT: "/cert" }, /^DATABASE_TLS_KEY: missing, although DATABASE_TLS_CERT is set/],
    ["", { SERVE_TLS_KEY: "/key" }, /^SERVE_TLS_CERT: missing, although SERVE_TLS_KEY is set/],
    ["", { S3_TLS_CA: "/ca", S3_ENDPOINT: "http://h" }, /^S3_TLS_CA: nothing is verified/]
  ]
  it.effect("and files that contradict each other are refused, each by one sentence", () =>
    Effect.gen(function* () {
      for (const [query, more, sentence] of refused) {
        const found = yield* problems(at(query, more))
        assert.lengthOf(found, 1, `${query} ${JSON.stringify(more)}`)
        assert.match(found[0] ?? "", sentence)
      }
    })
  )

  it.effect("stays in the URL, whose secret is not printed", () =>
    Effect.gen(function* () {
      const { place } = yield* read(at("?sslmode=verify-full"))
      assert.notInclude(JSON.stringify(place), "u:p")
      assert.isTrue(place._tag === "External" && Redacted.isRedacted(place.databaseUrl))
    })
  )
})
