/** Runs the program. It prints results on stdout and everything else on stderr. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Effect, Exit, Layer, Logger, Runtime } from "effect"
import { Command } from "effect/cli"
import { app, presenter } from "./App.ts"
import { takeSecrets, variables } from "./Environment.ts"
import { codeOf } from "./ExitCode.ts"
import * as Links from "./Links.ts"
import { ChosenLogFormat, type LogFormat, logFormatIn } from "./LogFormat.ts"
import * as Logging from "./Logging.ts"
import { SignalExit } from "./Shutdown.ts"
import { version } from "./version.ts"

const logFormat: { chosen: LogFormat } = { chosen: logFormatIn(process.env) }

/** The form is known when the command line is read, so each line asks for it. */
const logger = Logging.logger(() =>
  logFormat.chosen === null ? process.stderr.isTTY : logFormat.chosen === "text"
)

const signalExit = { code: 130 }

const annotationsOf = (error: Error & { readonly _tag: unknown }) => {
  const docs = Links.ofError(error)
  return { error: error._tag, ...(docs === null || error.message.includes(docs) ? {} : { docs }) }
}

/** These end a command before its work, or in a transaction that had no effect: a sweep has its failures in its report. */
const answersOf = new Set(["DatabaseError", "StorageError"])

/** Returns the message of an error, which also says that nothing was deleted. */
const messageOf = (error: Error & { readonly _tag: unknown }): string =>
  answersOf.has(String(error._tag)) && !/othing (more )?was deleted|deleted nothing/.test(error.message)
    ? `${error.message} This command deleted nothing.`
    : error.message

/** Logs the message of an expected error, and the whole cause of a defect. */
const report = (cause: Cause.Cause<unknown>) => {
  const error = Cause.squash(cause)
  if (Cause.hasInterruptsOnly(cause) || !Runtime.getErrorReported(error)) return Effect.void
  const expected = error instanceof Error && "_tag" in error && codeOf(error) !== 1
  return expected
    ? Effect.annotateLogs(Effect.logError(messageOf(error)), annotationsOf(error))
    : Effect.logFatal(
        "This is a defect of artifact-gc. Nothing that is referenced was deleted. Please report it.",
        cause
      )
}

/** Loads what sends telemetry only where it is on. */
const telemetry = Layer.unwrap(
  Effect.gen(function* () {
    const isWanted = Object.keys(variables()).some((name) => name.startsWith("OTEL_EXPORTER_OTLP_"))
    if (!isWanted) return Layer.empty
    const Telemetry = yield* Effect.promise(() => import("../ops/Telemetry.ts"))
    return Telemetry.layer(variables(), version)
  })
)

const program = Command.run(app, { version }).pipe(
  Effect.tapCause(report),
  Effect.provide(
    // Within the logger, because the logs that are sent are those that it also prints.
    Layer.provideMerge(
      Layer.tapCause(telemetry, report),
      Layer.mergeAll(
        NodeServices.layer,
        presenter,
        Logger.layer([logger]),
        Layer.succeed(Logger.LogToStderr, true),
        Layer.succeed(SignalExit, signalExit),
        Layer.succeed(ChosenLogFormat, logFormat)
      )
    )
  )
)

/** The SDK warns on stderr that later releases need a newer Node. Logs there are lines of JSON, and the version is pinned. */
const quietSdk = (): void => {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true"
}

/** Runs the command that the process's arguments name, and ends the process with its exit code. */
export const run = (): void => {
  takeSecrets()
  quietSdk()
  NodeRuntime.runMain(program, {
    disableErrorReporting: true,
    teardown: (exit, done) =>
      done(
        Exit.isSuccess(exit)
          ? 0
          : Cause.hasInterruptsOnly(exit.cause)
            ? signalExit.code
            : codeOf(Cause.squash(exit.cause))
      )
  })
}
