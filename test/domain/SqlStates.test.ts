/** Every error code of PostgreSQL that the collector knows, and the sentences that a person reads. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import { translate } from "../../src/database/postgres/Errors.ts"
import { DatabaseError, type DatabaseFailure } from "../../src/domain/DatabaseError.ts"
import { sqlStates } from "../../src/domain/SqlStates.ts"

/** As the driver reports what the server says. */
const said = (code: string, message: string) => {
  const cause = Object.assign(new Error(message), { code })
  const Reason = code.startsWith("08") ? ConnectionError : UnknownError
  return translate(
    "orphans.find",
    new SqlError({ reason: new Reason({ cause, message, operation: "query" }) })
  )
}

/** Code, reason, whether a later try may succeed, and what the message must say. */
const table: ReadonlyArray<readonly [string, DatabaseFailure, boolean, ReadonlyArray<string>]> = [
  ["08P01", "Misdirected", false, ["pooler", "changed nothing", "Connection poolers"]],
  ["22003", "Unknown", false, ["value of the catalogue", "changed nothing", "Find the row"]],
  ["22021", "Unknown", false, ["value of the catalogue", "changed nothing", "Find the row"]],
  ["22P02", "Unknown", false, ["value of the catalogue", "changed nothing", "Find the row"]],
  ["23502", "Unknown", false, ["refused a row", "changed nothing", "Correct"]],
  ["23503", "StillReferenced", false, ["transaction deleted nothing", "next sweep"]],
  ["23505", "Unknown", false, ["refused a row", "changed nothing", "Correct"]],
  ["23514", "Unknown", false, ["refused a row", "changed nothing", "Correct"]],
  [
    "25006",
    "Misdirected",
    false,
    ["no writes", "transaction deleted nothing", "primary", "default_transaction_read_only"]
  ],
  ["25P02", "Unknown", false, ["earlier statement", "changed nothing", "Connection poolers"]],
  ["25P03", "Unavailable", true, ["idle_in_transaction_session_timeout", "changed nothing", "Check whether"]],
  ["26000", "Misdirected", false, ["pooler", "changed nothing", "Connection poolers"]],
  ["28000", "Denied", false, ["does not accept this user", "transaction deleted nothing", "pg_hba.conf"]],
  [
    "28P01",
    "Denied",
    false,
    ["password of DATABASE_URL is wrong", "transaction deleted nothing", "Correct DATABASE_URL"]
  ],
  ["3D000", "Misdirected", false, ["does not exist", "transaction deleted nothing", "Correct DATABASE_URL"]],
  ["3F000", "Unknown", false, ["changed nothing", "artifact-gc migrate"]],
  ["40001", "Contended", true, ["gave way", "changed nothing", "tries again"]],
  ["40P01", "Contended", true, ["gave way", "changed nothing", "tries again"]],
  ["42501", "Denied", false, ["lacks a privilege", "changed nothing", "Grant the role the privileges"]],
  ["42703", "Unknown", false, ["changed nothing", "CATALOG_* settings"]],
  ["42883", "Unknown", false, ["changed nothing", "SET search_path"]],
  ["42P01", "Unknown", false, ["changed nothing", "artifact-gc migrate", "SET search_path"]],
  ["42P05", "Misdirected", false, ["pooler", "changed nothing", "Connection poolers"]],
  ["53100", "Unavailable", true, ["disk of the database is full", "changed nothing", "Free space"]],
  ["53200", "Unavailable", true, ["no memory left", "changed nothing", "tries again"]],
  ["53300", "Unavailable", true, ["no connection left", "changed nothing", "max_connections"]],
  ["55P03", "Contended", true, ["gave way", "changed nothing", "tries again"]],
  ["57014", "TimedOut", true, ["ran longer than it may", "changed nothing", "DATABASE_STATEMENT_TIMEOUT"]],
  ["57P01", "Unavailable", true, ["ended the connection", "changed nothing", "tries again"]],
  ["57P02", "Unavailable", true, ["crashed", "changed nothing", "tries again"]],
  ["57P03", "Unavailable", true, ["starting up", "changed nothing", "tries again"]],
  ["57P05", "Unavailable", true, ["idle", "changed nothing", "tries again"]],
  ["58030", "Unknown", false, ["read or write its files", "transaction deleted nothing", "server's log"]],
  ["XX000", "Unknown", false, ["fault of its own", "changed nothing", "server's log"]],
  ["XX001", "Unknown", false, ["damaged", "transaction deleted nothing", "Stop the collectors"]],
  ["XX002", "Unknown", false, ["damaged", "transaction deleted nothing", "REINDEX"]]
]

describe("What the database's error codes say", () => {
  for (const [code, reason, isRetryable, words] of table) {
    it(`${code}: ${reason}`, () => {
      const error = said(code, "the server's own text")
      assert.deepInclude(error, { reason, isRetryable, sqlState: code })
      assert.include(error.message, `the server's own text (SQLSTATE ${code}). `)
      for (const word of words) assert.include(error.message, word)
    })
  }

  it("the table has every code that the collector knows", () => {
    const known = new Set([...Object.keys(sqlStates), "23503"])
    assert.deepStrictEqual(table.map(([code]) => code).sort(), [...known].sort())
  })

  it("another code is the server's own text, and changed nothing", () => {
    assert.include(
      said("0A000", "no such feature").message,
      "no such feature (SQLSTATE 0A000). The transaction had no effect"
    )
  })

  it("a time-out is not said to give way", () => {
    assert.notInclude(said("57014", "canceling statement due to statement timeout").message, "gave way")
  })

  it("a changed schema says that nothing more was deleted: pages before it were", () => {
    const error = new DatabaseError({
      operation: "orphans.purge",
      reason: "SchemaChanged",
      detail: "a key was added"
    })
    assert.include(error.message, "Nothing more was deleted. The next sweep reads the foreign keys again.")
  })

  it("an operation that knows the next step says that instead", () => {
    const error = new DatabaseError({
      operation: "migrate",
      reason: "Denied",
      detail: "permission denied",
      sqlState: "42501",
      advice: "GRANT CREATE ON DATABASE x TO y;"
    })
    assert.isTrue(error.message.endsWith("permission denied. GRANT CREATE ON DATABASE x TO y;"))
    assert.isTrue(Exit.isFailure(Effect.runSyncExit(error)))
  })
})
