/** The exit codes of the program. The README documents them, and a test keeps the two equal. */
import { Runtime, Schema } from "effect"
import { DatabaseError } from "../domain/DatabaseError.ts"

/** Every exit code with its meaning. */
export const exitCodes = [
  [
    0,
    "Done: everything due is deleted, or a bound ended the sweep. For a service: it stopped when it was asked to."
  ],
  [1, "A defect of this program."],
  [2, "The command line or the configuration is invalid. Nothing was done."],
  [
    3,
    "Partly done: something due was not deleted. The report says what and why. The next sweep tries again."
  ],
  [
    4,
    "Refused: a guard found the catalogue, the clocks, the store or another collector's settings unsafe. Nothing was deleted."
  ],
  [5, "The database or the store cannot be reached, or denies access."],
  [
    6,
    "The breaker is open: a sweep would delete more than a mistake may take. It waits for `breaker --confirm`."
  ],
  [
    7,
    "The audit found objects that nothing owns, and nothing worse. They only use space. `audit --repair` journals those below the blob prefix."
  ],
  [
    8,
    "The audit found blobs whose object is missing or differs from the catalogue. Clients cannot read what refers to them."
  ],
  [9, "`doctor --strict` found warnings and no problem. Nothing was changed."],
  [10, "The status says that an operator should look at something. What is due is still collected."],
  [11, "The status says that nothing is collected until an operator acts."],
  [
    130,
    "A command other than `run` and `serve` was interrupted, after it finished the current batch. Or a second signal ended a command at once."
  ]
] as const

/** One of the exit codes. */
export type ExitCode = (typeof exitCodes)[number][0]

const byTag: Readonly<Record<string, ExitCode>> = {
  ConfigInvalid: 2,
  ShowHelp: 2,
  TreeUnreadable: 2,
  ListenRefused: 2,
  SettingsInvalid: 2,
  AccessFileRefused: 2,
  TlsRefused: 2,
  SecretRefused: 2,
  SchemaRefused: 4,
  CollectionPaused: 4,
  ReferencesChanged: 4,
  SourcesMissing: 4,
  ClockRefused: 4,
  SettingsRefused: 4,
  StoreRefused: 4,
  WritersRefused: 4,
  BindingRefused: 4,
  KeysRefused: 4,
  RebindRefused: 4,
  AgeRefused: 6,
  RepairRefused: 4,
  BreakerOpen: 6,
  DatabaseError: 5,
  StorageError: 5,
  EmbeddedPostgresError: 5
}

/** Returns the exit code for the error that ended a command. */
export const codeOf = (error: unknown): number => {
  if (typeof error !== "object" || error === null) return 1
  if ("_tag" in error && error._tag === "ShowHelp") return Runtime.getErrorExitCode(error) === 0 ? 0 : 2
  if (error instanceof Ended) return error.code
  // The database answers, but this program cannot work on it.
  if (error instanceof DatabaseError && error.reason === "NotInstalled") return 4
  return ("_tag" in error && typeof error._tag === "string" ? byTag[error._tag] : undefined) ?? 1
}

/** Ends a command with an exit code, after its result was printed on stdout. */
export class Ended extends Schema.TaggedError<Ended>()("Ended", { code: Schema.Int }) {
  override readonly [Runtime.errorReported] = false
}
