/** The command line, put together. */
import { Command } from "effect/cli"
import * as Demo from "./DemoCommand.ts"
import * as Journal from "./JournalCommand.ts"
import * as Migrate from "./MigrateCommand.ts"
import * as Run from "./RunCommand.ts"
import * as Sweep from "./SweepCommand.ts"

export const version = "0.1.0"

export const app = Command.make("artifact-gc").pipe(
  Command.withDescription(
    "Collects garbage from an artifact store: blobs that nothing refers to and uploads that nobody finished. Settings come from flags, then the environment; without DATABASE_URL and a store it works on an embedded PostgreSQL and files."
  ),
  Command.withSubcommands([Run.command, Sweep.command, Migrate.command, Journal.command, Demo.command])
)
