/** How the programs of tools/ and verify/ end: exit codes, error messages, and counts for the gate. */
import { appendFileSync } from "node:fs"

/** Something that this machine lacks. The message names it and says how to get it. */
export class Missing extends Error {}

/** A command line that the program does not understand. The message says how to call it. */
export class Usage extends Error {}

/** The signals that ask a program to end. */
export const endingSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

export type EndingSignal = (typeof endingSignals)[number]

/** Calls `handle` with the name of each signal that asks this process to end. */
export const onEndingSignal = (handle: (signal: EndingSignal) => void): void => {
  for (const signal of endingSignals) process.on(signal, () => handle(signal))
}

/** What a suite came to. */
export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** Appends the counts to the file that ARTIFACT_GC_TEST_TALLY names. Does nothing without that variable. */
export const tally = (suite: string, { passed, failed, skipped }: Counts): void => {
  const file = process.env.ARTIFACT_GC_TEST_TALLY
  if (file) appendFileSync(file, `${suite} ${passed} ${failed} ${skipped}\n`)
}

/** Returns the message of anything that was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const fail = (error: unknown): never => {
  const code = error instanceof Usage ? 2 : error instanceof Missing ? 3 : 1
  const text = code === 1 && error instanceof Error ? (error.stack ?? error.message) : messageOf(error)
  process.stderr.write(`${text}\n`)
  process.exit(code)
}

/**
 * Runs `main` with the command line's arguments and ends the process with the exit code that it returns.
 * Exits with 2 after {@link Usage}, 3 after {@link Missing}, and 1 after any other error.
 */
export const runProgram = (main: (args: ReadonlyArray<string>) => Promise<number>): void => {
  main(process.argv.slice(2)).then((code) => process.exit(code), fail)
}
