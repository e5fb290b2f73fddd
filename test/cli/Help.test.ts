import { readFileSync } from "node:fs"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { Command } from "effect/cli"
import { TestConsole } from "effect/testing"
import { expect } from "vitest"
import { app, presenter } from "../../src/cli/App.ts"
import { codeOf } from "../../src/cli/ExitCode.ts"
import { version } from "../../src/cli/version.ts"
import { helpDocs } from "../../tools/HelpDocs.ts"

/** What a command line says on stdout and on stderr, and how it ends. */
const run = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const exit = yield* Command.runWith(app, { version })(args).pipe(
    Effect.provide(Layer.merge(NodeServices.layer, presenter)),
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
  "retention",
  "breaker",
  "rebind",
  "status",
  "history",
  "pause",
  "resume",
  "set",
  "unset",
  "collectors",
  "audit",
  "doctor",
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

  it.effect("has a line of the list and an example for every command", () =>
    Effect.gen(function* () {
      const { commands, program } = yield* Effect.promise(helpDocs)
      const listed = (program.subcommands ?? []).flatMap((group) => group.commands)
      expect(listed.filter(({ shortDescription = "" }) => !/^.{10,60}$/.test(shortDescription))).toEqual([])
      expect(commands.filter(([, { examples = [] }]) => examples.length === 0)).toEqual([])
      expect([...subcommands].sort()).toEqual(listed.map(({ name }) => name).sort())
    })
  )

  it.effect("is printed without a command, and is no error", () =>
    Effect.gen(function* () {
      const { out, code } = yield* run()
      expect(out).toContain("EVERYDAY")
      expect(code).toBe(0)
    })
  )
})

describe("a command line", () => {
  const cases: ReadonlyArray<readonly [title: string, args: ReadonlyArray<string>, says: string]> = [
    ["with an unknown flag", ["sweep", "--bogus"], "Unrecognized flag: --bogus"],
    ["with an unknown command", ["swep"], "Did you mean this?\n    sweep"],
    ["without a value", ["sweep", "--gc-grace"], "Missing value for flag --gc-grace"],
    ["with too many arguments", ["sweep", "now"], 'Unexpected positional argument: "now"'],
    [
      "that guards and unguards",
      ["migrate", "--guard-unannounced-writers", "--unguard-unannounced-writers"],
      "--guard-unannounced-writers and --unguard-unannounced-writers exclude each other; nothing was changed"
    ],
    [
      "that guards and unguards by a former name",
      ["migrate", "--guard-unannounced-writers", "--unguard-foreign-writers"],
      "--guard-unannounced-writers and --unguard-unannounced-writers exclude each other; nothing was changed"
    ],
    [
      "that watches and unwatches",
      ["migrate", "--watch-references", "--unwatch-references"],
      "--watch-references and --unwatch-references exclude each other"
    ],
    [
      "with a time that is none",
      ["pause", "--for=long"],
      'Invalid value for flag --for: "long". Expected a duration such as "90 seconds" or "2 hours"'
    ],
    [
      "with a time that is too short",
      ["restore", "--all", "--hold=1 millis"],
      'Invalid value for flag --hold: "1 millis". Expected between 1 second and 520 weeks'
    ],
    ["with a secret", ["sweep", "--database-url", "postgres://u:p@h/d"], "Unrecognized flag: --database-url"]
  ]
  for (const [title, args, says] of cases) {
    it.effect(`${title} is reported on stderr alone with a pointer to help, and exits with 2`, () =>
      Effect.gen(function* () {
        const { out, err, code } = yield* run(...args)
        expect(out).toBe("")
        expect(err).toContain(says)
        expect(err).toMatch(/\n\nSee: artifact-gc( \w+)? --help$/)
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
