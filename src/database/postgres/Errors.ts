/** How the driver's errors become {@link DatabaseError}s. */
import { SqlError } from "effect/sql"
import { DatabaseError, type DatabaseFailure } from "../../domain/DatabaseError.ts"
import { sqlStates } from "../../domain/SqlStates.ts"

/** Returns the SQLSTATE of an error, if it came from the server. */
export const sqlState = (error: SqlError.SqlError): string | undefined => {
  const cause = error.reason.cause
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined
}

/** Returns whether the server understood the question and did not answer it. Anything else is a failure. */
export const isRefusal = (error: unknown): error is SqlError.SqlError =>
  SqlError.isSqlError(error) &&
  ![
    "ConnectionError",
    "DeadlockError",
    "SerializationError",
    "LockTimeoutError",
    "StatementTimeoutError"
  ].includes(error.reason._tag)

const failureOf = (error: SqlError.SqlError): DatabaseFailure => {
  const code = sqlState(error)
  if (code === "23503") return "StillReferenced"
  const known = code === undefined ? undefined : sqlStates[code]
  if (known !== undefined) return known.reason
  switch (error.reason._tag) {
    case "ConnectionError":
      return "Unavailable"
    case "DeadlockError":
    case "SerializationError":
    case "LockTimeoutError":
      return "Contended"
    case "StatementTimeoutError":
      return "TimedOut"
    case "AuthenticationError":
    case "AuthorizationError":
      return "Denied"
    default:
      return "Unknown"
  }
}

/** Turns a driver's error into a `DatabaseError`. The only place that does. */
export const translate = (operation: string, error: SqlError.SqlError): DatabaseError => {
  const cause = error.reason.cause
  const words = cause instanceof Error ? cause.message : error.message
  const code = sqlState(error)
  const state = code !== undefined && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
  return new DatabaseError({
    operation,
    reason: failureOf(error),
    detail: state === undefined ? words : `${words} (SQLSTATE ${state})`,
    ...(state === undefined ? {} : { sqlState: state }),
    cause: error
  })
}
