/** Prints results on stdout. The only place that does, so that no key or name controls an operator's terminal. */
import { Console, Effect } from "effect"
import { printableLines } from "../domain/printable.ts"
import { canRewrite, eraseLine } from "./Terminal.ts"

/** Erases a line of progress on the terminal that the result is printed on. The next progress shows it again. */
const erasing = Effect.sync(() => {
  if (process.stdout.isTTY && canRewrite(process.stderr, process.env)) process.stderr.write(eraseLine)
})

/** Prints a text for people. Unprintable characters are escaped. */
export const text = (lines: string): Effect.Effect<void> =>
  Effect.andThen(erasing, Console.log(printableLines(lines)))

/** Prints what this program wrote itself, with its colours: help, completions. It holds no name that others chose. */
export const own = (lines: string): Effect.Effect<void> => Console.log(lines)

/** Prints a value as one line of JSON. */
export const json = (value: unknown): Effect.Effect<void> =>
  Effect.andThen(erasing, Console.log(JSON.stringify(value)))

/** Moves to the top of a terminal and erases it. Does nothing where stdout is none. */
export const clearScreen: Effect.Effect<void> = Effect.sync(() => {
  if (process.stdout.isTTY) process.stdout.write("\u001b[H\u001b[2J\u001b[3J")
})
