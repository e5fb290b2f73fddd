/** How the driver's errors become {@link DatabaseError}s. */
import type { SqlError } from "effect/sql"
import { DatabaseError, type DatabaseFailure } from "../../domain/DatabaseError.ts"

/** SQLSTATEs that the driver files under "unknown" although the same statement may succeed a moment later. */
const unavailable = new Set(["57P01", "57P02", "57P03", "53300", "53200", "53100"])

/** Returns the SQLSTATE of an error, if it came from the server. */
export const sqlState = (error: SqlError.SqlError): string | undefined => {
  const cause = error.reason.cause
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined
}

const failureOf = (error: SqlError.SqlError): DatabaseFailure => {
  const code = sqlState(error)
  if (code !== undefined && unavailable.has(code)) return "Unavailable"
  if (code === "23503") return "StillReferenced"
  switch (error.reason._tag) {
    case "ConnectionError":
      return "Unavailable"
    case "DeadlockError":
    case "SerializationError":
    case "LockTimeoutError":
    case "StatementTimeoutError":
      return "Contended"
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
  return new DatabaseError({
    operation,
    reason: failureOf(error),
    detail: code === undefined || !/^[0-9A-Z]{5}$/.test(code) ? words : `${words} (SQLSTATE ${code})`,
    cause: error
  })
}
