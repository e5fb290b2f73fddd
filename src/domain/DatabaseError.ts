/** The error of a database transaction. src/database/postgres translates the driver's errors to it. */
import { Schema } from "effect"

/**
 * Why a database transaction failed. A failed transaction has no effect, with one exception: `Unavailable`
 * during COMMIT leaves the outcome unknown. Every caller therefore tries again from the start.
 *
 * - `Unavailable`: no connection, shutting down, too many clients
 * - `Contended`: lock or statement time-out, deadlock, serialization failure; a foreground transaction had
 *   priority
 * - `StillReferenced`: a foreign key refused a delete (SQLSTATE 23503); the row is kept
 * - `SchemaChanged`: the catalogue's foreign keys changed since they were read; read them again
 * - `Denied`: authentication or privileges
 * - `NotInstalled`: tables are missing or have another version than this program; the detail says what to run
 * - `PoolTooSmall`: the verb leaves the caller's open transaction, and the pool has no second connection for it
 * - `Unknown`: anything else; see `cause`
 */
export const DatabaseFailure = Schema.Literals([
  "Unavailable",
  "Contended",
  "StillReferenced",
  "SchemaChanged",
  "Denied",
  "NotInstalled",
  "PoolTooSmall",
  "Unknown"
])
export type DatabaseFailure = typeof DatabaseFailure.Type

const nextStep: Record<DatabaseFailure, string> = {
  Unavailable:
    "Check DATABASE_URL and that PostgreSQL accepts connections. A running collector tries again at its next sweep.",
  Contended:
    "The transaction gave way to others and changed nothing. A running collector tries again; run a command again.",
  StillReferenced:
    "Nothing was deleted. A reference was added during the purge of the blob. The next sweep checks it again.",
  SchemaChanged: "Nothing was deleted. The next sweep reads the foreign keys again.",
  NotInstalled: "Nothing was deleted. Start again after that.",
  PoolTooSmall:
    "Nothing was done. Give the pool at least two connections, or call the verb outside the transaction.",
  Denied: "Grant the role the privileges that docs/operations.md lists.",
  Unknown:
    "The transaction had no effect. artifact-gc does not know this failure; the text is the server's own."
}

/** Says that a database transaction failed and was rolled back. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  /** Verb that failed, e.g. `orphans.purge`. */
  operation: Schema.String,
  /** Why it failed. */
  reason: DatabaseFailure,
  /** Text of the server, without credentials and parameters. */
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return `Database ${this.operation} failed (${this.reason}): ${this.detail}. ${nextStep[this.reason]}`
  }
  /** Whether the same call may succeed later. */
  get isRetryable(): boolean {
    return this.reason === "Unavailable" || this.reason === "Contended"
  }
}
