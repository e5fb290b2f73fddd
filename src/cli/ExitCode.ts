/** What the process says to whatever started it. Documented in the README; a test keeps them equal. */
import { Runtime, Schema } from "effect"
import { DatabaseError } from "../domain/DatabaseError.ts"

export const exitCodes = [
  [
    0,
    "Done: everything that was due is gone, or a bound ended the sweep; or a service that was asked to stop has."
  ],
  [1, "A defect of this program."],
  [2, "The command line or the configuration cannot be used; nothing was done."],
  [
    3,
    "Done in part: something that should be gone is not. The report says what and why; the next sweep tries again."
  ],
  [
    4,
    "Refused: a guard found the catalogue, the clocks, the store or another collector's settings unsafe; nothing was deleted."
  ],
  [5, "The database or the store cannot be reached, or denies access."],
  [6, "The breaker is open: more would go than a mistake may take. It waits for `breaker --confirm`."],
  [
    7,
    "The audit found objects that nothing owns, and nothing worse: they cost space. `audit --repair` journals those below the blob prefix."
  ],
  [
    8,
    "The audit found blobs whose object is missing or is not what the catalogue says: somebody cannot read what refers to them."
  ],
  [
    130,
    "A command other than `run` and `serve` was interrupted; the batch in hand was finished. Or a second signal ended any command at once."
  ]
] as const

export type ExitCode = (typeof exitCodes)[number][0]

const byTag: Readonly<Record<string, ExitCode>> = {
  ConfigInvalid: 2,
  ShowHelp: 2,
  TreeUnreadable: 2,
  ListenRefused: 2,
  SchemaRefused: 4,
  ClockRefused: 4,
  SettingsRefused: 4,
  StoreRefused: 4,
  RepairRefused: 4,
  BreakerOpen: 6,
  DatabaseError: 5,
  StorageError: 5,
  EmbeddedPostgresError: 5
}

/** The exit code for the error a command ended with. */
export const codeOf = (error: unknown): number => {
  if (typeof error !== "object" || error === null) return 1
  if ("_tag" in error && error._tag === "ShowHelp") return Runtime.getErrorExitCode(error) === 0 ? 0 : 2
  if (error instanceof Ended) return error.code
  // The database answers; it is not one that this program can work on.
  if (error instanceof DatabaseError && error.reason === "NotInstalled") return 4
  return ("_tag" in error && typeof error._tag === "string" ? byTag[error._tag] : undefined) ?? 1
}

/** A command has said on stdout what there is to say, and only its exit code is left. */
export class Ended extends Schema.TaggedError<Ended>()("Ended", { code: Schema.Int }) {
  override readonly [Runtime.errorReported] = false
}
