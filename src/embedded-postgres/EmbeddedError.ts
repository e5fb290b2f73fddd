/** What can go wrong with the embedded PostgreSQL, and what the person reading it does next. */
import { Schema } from "effect"

/**
 * Why the embedded PostgreSQL is not available. No reason ever costs data: nothing is deleted but the
 * leftovers of an `initdb` that did not finish.
 *
 * - `unsupported-platform`: no binaries exist for this system, or they cannot run on it (musl, missing libraries)
 * - `not-installed`: the npm package with the binaries, or a part of it, is missing
 * - `permission`: the user PostgreSQL has to run as cannot use the directory or the binaries
 * - `socket-path-too-long`: no directory gives a Unix socket path within the system's limit
 * - `foreign-data`: the directory holds files which artifact-gc did not put there
 * - `version-mismatch`: the data was written by another major version of PostgreSQL
 * - `in-use`: another live process holds the directory; `pid` names it
 * - `initdb-failed`: creating the database cluster failed; nothing is left behind
 * - `start-failed`: the server exited or fell silent before it accepted connections
 * - `stopped`: the server ended although nobody here asked it to
 */
export const EmbeddedPostgresFailure = Schema.Literals([
  "unsupported-platform",
  "not-installed",
  "permission",
  "socket-path-too-long",
  "foreign-data",
  "version-mismatch",
  "in-use",
  "initdb-failed",
  "start-failed",
  "stopped"
])
export type EmbeddedPostgresFailure = typeof EmbeddedPostgresFailure.Type

const nextStep: Record<EmbeddedPostgresFailure, string> = {
  "unsupported-platform":
    "Set DATABASE_URL to a PostgreSQL server; embedded binaries exist for Linux (glibc) and macOS, x64 and arm64.",
  "not-installed":
    "Run `npm install` without --omit=optional and `npm rebuild` as the owner of node_modules, or set DATABASE_URL.",
  permission:
    "Use a directory which the user PostgreSQL runs as can enter and write, or run artifact-gc as the owner of the directory, or set DATABASE_URL.",
  "socket-path-too-long": "Choose a shorter data directory or a shorter TMPDIR, or set DATABASE_URL.",
  "foreign-data": "Nothing was touched. Choose an empty or new directory, or set DATABASE_URL.",
  "version-mismatch":
    "Nothing was touched. Upgrade the data with pg_upgrade or a dump, or choose another directory, or set DATABASE_URL.",
  "in-use": "Stop that process, or choose another directory, or share one server by setting DATABASE_URL.",
  "initdb-failed":
    "Correct what initdb says (disk space, permissions, user) and start again, or set DATABASE_URL.",
  "start-failed": "Correct what the log says and start again; the data directory is as PostgreSQL left it.",
  stopped:
    "Start artifact-gc again: PostgreSQL recovers every committed transaction. Look for the out-of-memory killer."
}

/** The embedded PostgreSQL could not be started, or ended by itself. */
export class EmbeddedPostgresError extends Schema.TaggedError<EmbeddedPostgresError>()(
  "EmbeddedPostgresError",
  {
    reason: EmbeddedPostgresFailure,
    /** The directory given to `start`, absolute. */
    dataDirectory: Schema.String,
    /** What was wrong, one sentence without a full stop. */
    detail: Schema.String,
    /** The process that holds the directory; only with `in-use`, and only when known. */
    pid: Schema.optional(Schema.Int),
    /** The last lines which initdb or the server wrote, oldest first. */
    log: Schema.optional(Schema.Array(Schema.String)),
    cause: Schema.optional(Schema.Defect())
  }
) {
  override get message(): string {
    const log =
      this.log === undefined || this.log.length === 0 ? "" : `\nLast lines:\n  ${this.log.join("\n  ")}`
    return `Embedded PostgreSQL in ${this.dataDirectory} (${this.reason}): ${this.detail}. ${nextStep[this.reason]}${log}`
  }
}
