/** The form of the log, which the command line may choose. */
import { Context } from "effect"
import { ops } from "../config/opsSettings.ts"

/** The form of the log; null lets the terminal decide. */
export type LogFormat = "json" | "text" | null

/** The form of the log of this process. It is a mutable cell: the command sets it, and the logger asks for each line. */
export class ChosenLogFormat extends Context.Reference<{ chosen: LogFormat }>("artifact-gc/cli/LogFormat", {
  defaultValue: () => ({ chosen: null })
}) {}

/** Returns the form that variables name; null for another word, which the settings refuse. */
export const logFormatIn = (variables: Readonly<Record<string, string | undefined>>): LogFormat => {
  const word = variables[ops.logFormat.env]
  return word === "json" || word === "text" ? word : null
}
