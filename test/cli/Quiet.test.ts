import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { Command, GlobalFlag } from "effect/cli"
import { expect } from "vitest"
import * as Quiet from "../../src/cli/Quiet.ts"

/** Returns what a command logs, and whether it knows that it is quiet. */
const said = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const logged: Array<unknown> = []
  const work = Effect.gen(function* () {
    yield* Effect.logDebug("details")
    yield* Effect.logInfo("notice")
    yield* Effect.logWarning("warning")
    logged.push(yield* Quiet.IsQuiet)
  })
  const app = Command.make("app").pipe(
    Command.withSubcommands([Command.make("work", {}, () => work)]),
    Command.provide(Quiet.layer),
    Command.withGlobalFlags([Quiet.quietFlag, GlobalFlag.LogLevel])
  )
  const logger = Logger.make<unknown, void>(({ message }) => {
    logged.push(...(Array.isArray(message) ? message : [message]))
  })
  yield* Command.runWith(app, { version: "1" })(["work", ...args]).pipe(
    Effect.provide(Layer.merge(NodeServices.layer, Logger.layer([logger])))
  )
  return logged
})

describe("--quiet", () => {
  it.effect("leaves warnings alone of the log", () =>
    Effect.gen(function* () {
      expect(yield* said()).toEqual(["notice", "warning", false])
      expect(yield* said("--quiet")).toEqual(["warning", true])
      expect(yield* said("-q")).toEqual(["warning", true])
    })
  )

  it.effect("gives way to a level that is asked for", () =>
    Effect.gen(function* () {
      expect(yield* said("-q", "--log-level=info")).toEqual(["notice", "warning", true])
      expect(yield* said("--log-level=debug")).toEqual(["details", "notice", "warning", false])
    })
  )
})
