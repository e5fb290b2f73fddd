/** `--quiet`: no progress, and no log below warnings. */
import { Context, Effect, Layer, Option, References } from "effect"
import { Flag, GlobalFlag } from "effect/cli"

/** Whether the command line asks for results, warnings and errors alone. */
export class IsQuiet extends Context.Reference<boolean>("artifact-gc/cli/IsQuiet", {
  defaultValue: () => false
}) {}

/** Defines the flag of all commands. */
export const quietFlag = GlobalFlag.Setting("quiet")({
  flag: Flag.Boolean("quiet").pipe(
    Flag.withAlias("q"),
    Flag.withDescription("Print the result, warnings and errors alone: no progress, no notices"),
    Flag.withoutNegation,
    Flag.withDefault(false)
  )
})

/** Applies the flag to a command. A log level that was given has priority. */
export const layer = Layer.unwrap(
  Effect.gen(function* () {
    if (!(yield* quietFlag)) return Layer.empty
    const quiet = Layer.succeed(IsQuiet, true)
    return Option.isSome(yield* GlobalFlag.LogLevel)
      ? quiet
      : Layer.merge(quiet, Layer.succeed(References.MinimumLogLevel, "Warn"))
  })
)
