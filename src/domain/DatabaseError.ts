/** The error of a database transaction. src/database/postgres translates the driver's errors to it. */
import { Schema } from "effect"
import { DatabaseFailure } from "./DatabaseFailure.ts"
import { sqlStates } from "./SqlStates.ts"

export { DatabaseFailure }

const nextStep: Record<DatabaseFailure, string> = {
  Unavailable:
    "Check DATABASE_URL and that PostgreSQL accepts connections. A running collector tries again at its next sweep.",
  Contended:
    "The transaction gave way to others and changed nothing. A running collector tries again; run a command again.",
  TimedOut: "The transaction changed nothing. Raise DATABASE_STATEMENT_TIMEOUT, or find out why it is slow.",
  StillReferenced:
    "The transaction deleted nothing. A reference was added during the purge of the blob. The next sweep checks it again.",
  SchemaChanged: "Nothing more was deleted. The next sweep reads the foreign keys again.",
  NotInstalled: "The transaction deleted nothing. Start again after that.",
  PoolTooSmall:
    "Nothing was done. Give the pool at least two connections, or call the verb outside the transaction.",
  Misdirected: "The transaction deleted nothing. Correct DATABASE_URL.",
  Denied: "Grant the role the privileges that docs/operations.md lists.",
  Unknown:
    "The transaction had no effect. artifact-gc does not know this failure; the text is the server's own."
}

const retryable: ReadonlySet<DatabaseFailure> = new Set(["Unavailable", "Contended", "TimedOut"])

/** Says that a database transaction failed and was rolled back. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  /** Verb that failed, e.g. `orphans.purge`. */
  operation: Schema.String,
  /** Why it failed. */
  reason: DatabaseFailure,
  /** Text of the server, without credentials and parameters. */
  detail: Schema.String,
  /** The server's error code. Absent where the failure is not the server's. */
  sqlState: Schema.optional(Schema.String),
  /** What to do next, where the operation knows it better than the error code does. */
  advice: Schema.optional(Schema.String),
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    const known = this.sqlState === undefined ? undefined : sqlStates[this.sqlState]?.advice
    const advice = this.advice ?? known ?? nextStep[this.reason]
    return `Database ${this.operation} failed (${this.reason}): ${this.detail}. ${advice}`
  }
  /** Whether the same call may succeed later. */
  get isRetryable(): boolean {
    return retryable.has(this.reason)
  }
}
