import { readFileSync } from "node:fs"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { CliOutput, Command } from "effect/cli"
import { TestConsole } from "effect/testing"
import { expect } from "vitest"
import { app, presenter, version } from "../../src/cli/App.ts"
import { codeOf } from "../../src/cli/ExitCode.ts"

const plain = CliOutput.layer(CliOutput.defaultFormatter({ colors: false }))

/** What a command line says on stdout and on stderr, and how it ends. */
const run = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const exit = yield* Command.runWith(app, { version })(args).pipe(
    Effect.provide(Layer.mergeAll(NodeServices.layer, presenter, plain)),
    Effect.match({ onFailure: codeOf, onSuccess: () => 0 }),
    Effect.exit
  )
  return {
    out: (yield* TestConsole.logLines).join("\n"),
    err: (yield* TestConsole.errorLines).join("\n"),
    code: Exit.isSuccess(exit) ? exit.value : undefined
  }
})

const subcommands = [
  "serve",
  "run",
  "sweep",
  "migrate",
  "journal",
  "condemned",
  "restore",
  "breaker",
  "audit",
  "demo"
]

describe("help", () => {
  it.effect("of the program names every command", () =>
    Effect.gen(function* () {
      const { out, err, code } = yield* run("--help")
      yield* Effect.promise(() => expect(`${out}\n`).toMatchFileSnapshot("help/artifact-gc.txt"))
      expect({ err, code }).toEqual({ err: "", code: 0 })
    })
  )

  for (const command of subcommands) {
    it.effect(`of ${command} explains each flag, with its variable and its default`, () =>
      Effect.gen(function* () {
        const { out, err, code } = yield* run(command, "--help")
        yield* Effect.promise(() => expect(`${out}\n`).toMatchFileSnapshot(`help/${command}.txt`))
        expect({ err, code }).toEqual({ err: "", code: 0 })
      })
    )
  }

  it.effect("is what one gets without a command, and no error", () =>
    Effect.gen(function* () {
      const { out, code } = yield* run()
      expect(out).toContain("SUBCOMMANDS")
      expect(code).toBe(0)
    })
  )
})

describe("a command line that cannot be used", () => {
  const cases: ReadonlyArray<readonly [title: string, args: ReadonlyArray<string>, says: string]> = [
    ["has a flag nobody knows", ["sweep", "--bogus"], "Unrecognized flag: --bogus"],
    ["has a command nobody knows", ["swep"], "Did you mean this?\n    sweep"],
    ["lacks a value", ["sweep", "--gc-grace"], "Missing value for flag --gc-grace"],
    ["has an argument too many", ["sweep", "now"], 'Unexpected positional argument: "now"'],
    [
      "asks for a thing and its opposite",
      ["migrate", "--guard-unannounced-writers", "--unguard-unannounced-writers"],
      "--guard-unannounced-writers and --unguard-unannounced-writers exclude each other; nothing was changed"
    ],
    [
      "asks for a thing and its opposite by a former name",
      ["migrate", "--guard-unannounced-writers", "--unguard-foreign-writers"],
      "--guard-unannounced-writers and --unguard-unannounced-writers exclude each other; nothing was changed"
    ],
    [
      "asks for another thing and its opposite",
      ["migrate", "--watch-references", "--unwatch-references"],
      "--watch-references and --unwatch-references exclude each other"
    ],
    [
      "offers a secret",
      ["sweep", "--database-url", "postgres://u:p@h/d"],
      "Unrecognized flag: --database-url"
    ]
  ]
  for (const [title, args, says] of cases) {
    it.effect(`${title} is told so on stderr alone, and where help is; the exit code is 2`, () =>
      Effect.gen(function* () {
        const { out, err, code } = yield* run(...args)
        expect(out).toBe("")
        expect(err).toContain(says)
        expect(err).toMatch(/\n\nSee: artifact-gc( sweep| migrate)? --help$/)
        expect(code).toBe(2)
      })
    )
  }
})

describe("the version", () => {
  it.effect("is that of the package", () =>
    Effect.gen(function* () {
      const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
      expect((yield* run("--version")).out).toBe(`artifact-gc v${manifest.version}`)
    })
  )
})
