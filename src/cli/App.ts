/** The command line: all commands, and how help and usage errors are shown. */
import { Console, Effect, type Layer } from "effect"
import { CliOutput, Command } from "effect/cli"
import * as Audit from "./AuditCommand.ts"
import * as Breaker from "./BreakerCommand.ts"
import * as Collectors from "./CollectorsCommand.ts"
import * as Condemned from "./CondemnedCommand.ts"
import * as Demo from "./DemoCommand.ts"
import * as Doctor from "./DoctorCommand.ts"
import * as History from "./HistoryCommand.ts"
import * as Journal from "./JournalCommand.ts"
import * as Migrate from "./MigrateCommand.ts"
import * as Pause from "./PauseCommand.ts"
import * as Rebind from "./RebindCommand.ts"
import * as Restore from "./RestoreCommand.ts"
import * as Resume from "./ResumeCommand.ts"
import * as Retention from "./RetentionCommand.ts"
import * as Run from "./RunCommand.ts"
import * as Serve from "./ServeCommand.ts"
import * as Set from "./SetCommand.ts"
import * as Status from "./StatusCommand.ts"
import * as Sweep from "./SweepCommand.ts"
import * as Unset from "./UnsetCommand.ts"

/** The program with all its commands. */
export const app = Command.make("artifact-gc").pipe(
  Command.withDescription(
    "An OCI registry that cleans itself, and a garbage collector for artifact stores. It deletes blobs that nothing refers to, and uploads that were never finished. Settings are read from flags, then from the environment. Without DATABASE_URL and a store, it works on an embedded PostgreSQL and files. Secrets (DATABASE_URL, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_SESSION_TOKEN, REGISTRY_PASSWORD, REGISTRY_TOKEN) are read from the environment only."
  ),
  Command.withSubcommands([
    Serve.command,
    Run.command,
    Sweep.command,
    Status.command,
    History.command,
    Migrate.command,
    Journal.command,
    Condemned.command,
    Restore.command,
    Retention.command,
    Breaker.command,
    Rebind.command,
    Pause.command,
    Resume.command,
    Set.command,
    Unset.command,
    Collectors.command,
    Audit.command,
    Doctor.command,
    Demo.command
  ])
)

/**
 * Prints requested help on stdout, and usage errors alone on stderr. The framework would print sixty lines of
 * help with an error: they hide it, and in a pipe they pass for the result.
 */
export const presenter: Layer.Layer<never> = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.gen(function* () {
          const formatter = yield* CliOutput.Formatter
          yield* Console.error(
            `${formatter.formatErrors(event.errors).trim()}\n\nSee: ${event.commandPath.join(" ")} --help`
          )
        })
      : CliOutput.defaultPresenter.present(event)
})
