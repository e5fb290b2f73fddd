/** The command line: all commands, and how help and usage errors are shown. */
import { Console, Effect, Layer } from "effect"
import { CliConfig, CliOutput, Command, GlobalFlag } from "effect/cli"
import * as Audit from "./AuditCommand.ts"
import * as Breaker from "./BreakerCommand.ts"
import * as Collectors from "./CollectorsCommand.ts"
import * as Condemned from "./CondemnedCommand.ts"
import * as Demo from "./DemoCommand.ts"
import * as Doctor from "./DoctorCommand.ts"
import * as History from "./HistoryCommand.ts"
import * as Completions from "./help/Completions.ts"
import { helpText } from "./help/HelpText.ts"
import * as Journal from "./JournalCommand.ts"
import * as Migrate from "./MigrateCommand.ts"
import * as Pause from "./PauseCommand.ts"
import * as Print from "./Print.ts"
import * as Quiet from "./Quiet.ts"
import * as Rebind from "./RebindCommand.ts"
import * as Restore from "./RestoreCommand.ts"
import * as Resume from "./ResumeCommand.ts"
import * as Retention from "./RetentionCommand.ts"
import * as Run from "./RunCommand.ts"
import * as Serve from "./ServeCommand.ts"
import * as Set from "./SetCommand.ts"
import * as Status from "./StatusCommand.ts"
import * as Sweep from "./SweepCommand.ts"
import { canColor, widthOf } from "./Terminal.ts"
import * as Unset from "./UnsetCommand.ts"

/** The program with all its commands. */
export const app = Command.make("artifact-gc").pipe(
  Command.withDescription(
    "An OCI registry that cleans itself, and a garbage collector for artifact stores. It deletes blobs that nothing refers to, and uploads that were never finished. Settings are read from flags, then from the environment. Without DATABASE_URL and a store, it works on an embedded PostgreSQL and files. Secrets (DATABASE_URL, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_SESSION_TOKEN, REGISTRY_PASSWORD, REGISTRY_TOKEN) are no flags: the environment holds them, or the path of a file with each in DATABASE_URL_FILE and the like."
  ),
  Command.withSubcommands([
    {
      group: "Everyday",
      commands: [Serve.command, Run.command, Sweep.command, Status.command, History.command]
    },
    {
      group: "Control",
      commands: [Pause.command, Resume.command, Set.command, Unset.command, Collectors.command]
    },
    {
      group: "Look and repair",
      commands: [
        Breaker.command,
        Condemned.command,
        Restore.command,
        Retention.command,
        Journal.command,
        Audit.command,
        Rebind.command
      ]
    },
    { group: "Set up", commands: [Migrate.command, Doctor.command, Demo.command] }
  ]),
  Command.withExamples([
    { command: "artifact-gc demo", description: "See a collection in seconds" },
    { command: "artifact-gc serve --try", description: "See a registry clean itself" },
    { command: "artifact-gc doctor", description: "Beside a catalogue of yours: see what is missing" },
    { command: "artifact-gc sweep --help", description: "See the flags of a command" }
  ]),
  Command.provide(Quiet.layer),
  Command.withGlobalFlags([Quiet.quietFlag, GlobalFlag.LogLevel])
)

/** The framework's words before those of a flag's own check, which say what is expected. */
const withoutPrefix = (text: string): string => text.replaceAll("Expected: Schema validation failed: ", "")

/**
 * Prints requested help on stdout, and usage errors alone on stderr. The framework would print sixty lines of
 * help with an error: they hide it, and in a pipe they pass for the result.
 */
const present: CliOutput.Presenter["present"] = Effect.fnUntraced(function* (event) {
  switch (event._tag) {
    case "Help": {
      const [out, variables] = [process.stdout, process.env]
      const look = { width: widthOf(out, variables), isColored: canColor(out, variables) }
      return yield* Print.own(helpText(event.helpDoc, look))
    }
    case "InvalidInvocation": {
      const formatter = CliOutput.defaultFormatter({ colors: canColor(process.stderr, process.env) })
      return yield* Console.error(
        `${withoutPrefix(formatter.formatErrors(event.errors)).trim()}\n\nSee: ${event.commandPath.join(" ")} --help`
      )
    }
    case "Version":
      return yield* Print.own(`${event.name} v${event.version}`)
  }
})

/** How help, usage errors and the version are shown, and which flags all commands have. */
export const presenter: Layer.Layer<never> = Layer.merge(
  CliOutput.layerPresenter({ present }),
  // Without the wizard, which would ask for each of a hundred settings.
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, Completions.flag] })
)
