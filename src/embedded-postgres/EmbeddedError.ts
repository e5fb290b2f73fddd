/** The errors of the embedded PostgreSQL, and what an operator does next. */
import { Schema } from "effect"

/**
 * Why the embedded PostgreSQL is not available. None of them costs data: only the remains of an unfinished
 * `initdb` are deleted.
 *
 * - `unsupported-platform`: no binaries exist for this system, or they cannot run on it (musl, missing
 *   libraries)
 * - `not-installed`: the npm package with the binaries, or a part of it, is missing
 * - `permission`: the user that PostgreSQL must run as cannot use the directory or the binaries
 * - `socket-path-too-long`: no directory gives a Unix socket path within the system's limit
 * - `foreign-data`: the directory holds files that artifact-gc did not create
 * - `version-mismatch`: the data was written by another major version of PostgreSQL
 * - `in-use`: another live process holds the directory; `pid` names it
 * - `initdb-failed`: creating the database cluster failed; nothing is left behind
 * - `start-failed`: the server exited, or logged nothing for too long, before it accepted connections
 * - `stopped`: the server ended although this process did not stop it
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
    "Set DATABASE_URL to a PostgreSQL server. Embedded binaries exist for Linux (glibc) and macOS, x64 and arm64.",
  "not-installed":
    "Run `npm install` without --omit=optional and `npm rebuild` as the owner of node_modules, or set DATABASE_URL.",
  permission:
    "Use a directory that PostgreSQL's user can enter and write, or run artifact-gc as the owner of the directory, or set DATABASE_URL.",
  "socket-path-too-long": "Choose a shorter data directory or a shorter TMPDIR, or set DATABASE_URL.",
  "foreign-data": "Nothing was changed. Choose an empty or new directory, or set DATABASE_URL.",
  "version-mismatch":
    "Nothing was changed. Upgrade the data with pg_upgrade or a dump, or choose another directory, or set DATABASE_URL.",
  "in-use":
    "Nothing was changed. A second service cannot share it: stop that process, or choose another directory, or set DATABASE_URL.",
  "initdb-failed":
    "No data was created. Correct the cause that initdb names (disk space, permissions, user) and start again, or set DATABASE_URL.",
  "start-failed":
    "Correct the cause that the log names and start again. The data directory is as PostgreSQL left it.",
  stopped:
    "Start artifact-gc again: PostgreSQL recovers every committed transaction. Check whether the out-of-memory killer ended it."
}

/** Says that the embedded PostgreSQL could not be started, or ended by itself. */
export class EmbeddedPostgresError extends Schema.TaggedError<EmbeddedPostgresError>()(
  "EmbeddedPostgresError",
  {
    /** Why it is not available. */
    reason: EmbeddedPostgresFailure,
    /** Directory given to `start`, absolute. */
    dataDirectory: Schema.String,
    /** What happened, one sentence without a full stop. */
    detail: Schema.String,
    /** Process that holds the directory; only with `in-use`, and only if known. */
    pid: Schema.optional(Schema.Int),
    /** Last lines that initdb or the server wrote, oldest first. */
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
