/** What can go wrong between us and the catalogue; translation from the driver lives in database/postgres. */
import { Schema } from "effect"

/**
 * Why a database transaction failed. Nothing of a failed transaction took effect, with one exception:
 * `Unavailable` during COMMIT leaves the outcome unknown, which every caller treats as "try again from the start".
 *
 * - `Unavailable`: no connection, shutting down, too many clients
 * - `Contended`: lock or statement time-out, deadlock, serialization failure: the foreground won
 * - `StillReferenced`: a foreign key refused a delete (SQLSTATE 23503); the row is kept
 * - `SchemaChanged`: the catalogue's foreign keys changed since they were read; read them again
 * - `Denied`: authentication or privileges
 * - `NotInstalled`: tables are missing, or of another version than this program's; the detail says what to run
 * - `Unknown`: anything else; see `cause`
 */
export const DatabaseFailure = Schema.Literals([
  "Unavailable",
  "Contended",
  "StillReferenced",
  "SchemaChanged",
  "Denied",
  "NotInstalled",
  "Unknown"
])
export type DatabaseFailure = typeof DatabaseFailure.Type

const nextStep: Record<DatabaseFailure, string> = {
  Unavailable:
    "Check DATABASE_URL and that PostgreSQL accepts connections; a collector that is running tries again at its next sweep.",
  Contended: "Nothing to do: the collector gave way to other transactions and tries again.",
  StillReferenced:
    "Nothing was deleted. A reference arrived while the blob was being purged; the next sweep looks again.",
  SchemaChanged: "Nothing was deleted. The next sweep reads the foreign keys again.",
  NotInstalled: "Once that is done, start again.",
  Denied: "Grant the role the privileges listed in docs/operations.md.",
  Unknown: "This failure is not one we know; the words are the server's own."
}

/** A database transaction failed and was rolled back. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  /** The verb that failed, e.g. `orphans.purge`. */
  operation: Schema.String,
  reason: DatabaseFailure,
  /** The server's own words, without credentials or parameters. */
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return `Database ${this.operation} failed (${this.reason}): ${this.detail}. ${nextStep[this.reason]}`
  }
  get isRetryable(): boolean {
    return this.reason === "Unavailable" || this.reason === "Contended"
  }
}
