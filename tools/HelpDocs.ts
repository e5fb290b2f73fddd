/** The help of every command as data, from the command line itself: what `--help` prints, before it is text. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer } from "effect"
import { CliOutput, Command, type HelpDoc } from "effect/cli"
import { app, presenter } from "../src/cli/App.ts"

/** The help of the program and of its commands, in the order of the help. */
export interface HelpDocs {
  readonly program: HelpDoc.HelpDoc
  readonly commands: ReadonlyArray<readonly [name: string, doc: HelpDoc.HelpDoc]>
}

const helpOf = async (path: ReadonlyArray<string>): Promise<HelpDoc.HelpDoc> => {
  const shown: Array<HelpDoc.HelpDoc> = []
  const capturing = CliOutput.layerPresenter({
    present: (event) =>
      Effect.sync(() => {
        if (event._tag === "Help") shown.push(event.helpDoc)
      })
  })
  await Effect.runPromise(
    Command.runWith(app, { version: "" })([...path, "--help"]).pipe(
      Effect.provide(Layer.mergeAll(NodeServices.layer, Layer.provideMerge(capturing, presenter))),
      // Help is shown before anything could fail.
      Effect.orDie
    )
  )
  const [doc] = shown
  if (doc === undefined) throw new Error(`${path.join(" ")} has no help.`)
  return doc
}

/** Reads the help of the program and of all commands. */
export const helpDocs = async (): Promise<HelpDocs> => {
  const program = await helpOf([])
  const names = (program.subcommands ?? []).flatMap(({ commands }) => commands.map(({ name }) => name))
  const commands: Array<HelpDocs["commands"][number]> = []
  for (const name of names) commands.push([name, await helpOf([name])])
  return { program, commands }
}
