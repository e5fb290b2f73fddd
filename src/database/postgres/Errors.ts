/** How the driver's errors become {@link DatabaseError}s. */
import * as SqlError from "effect/sql/SqlError"
import { certificateProblems, isRefusedByServer, remedyOf } from "../../domain/Certificates.ts"
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

/** Where the remedies of TLS are made. */
const names = { ca: "DATABASE_TLS_CA", address: "DATABASE_URL" }

/** OpenSSL's text holds source files and numbers around the alert. */
const alertIn = (words: string): string => /alert [^:]+/.exec(words)?.[0] ?? words.trim()

/** Returns what is said of a connection whose TLS failed; null for another failure. */
const ofTls = (
  code: string | undefined,
  words: string
): { readonly detail: string; readonly advice: string } | null => {
  const problem = code === undefined ? undefined : certificateProblems[code]
  if (problem !== undefined) {
    return {
      detail: `the server's certificate ${problem.says}: ${words}`,
      advice: `Nothing was sent to the server. ${remedyOf(problem, names)}`
    }
  }
  if (words === "The server does not support TLS") {
    return {
      detail: "the server does not speak TLS",
      advice:
        "Nothing was sent to the server. Switch on its ssl, or write sslmode=disable in DATABASE_URL if the network is trusted."
    }
  }
  return code !== undefined && isRefusedByServer(code)
    ? {
        detail: `the server refused this program's certificate, or wants one: ${alertIn(words)}`,
        advice:
          "Nothing was changed. Set DATABASE_TLS_CERT and DATABASE_TLS_KEY to a certificate of an authority that the server trusts, and renew it if it has expired."
      }
    : null
}

/** Turns a driver's error into a `DatabaseError`. The only place that does. */
export const translate = (operation: string, error: SqlError.SqlError): DatabaseError => {
  const cause = error.reason.cause
  const words = cause instanceof Error ? cause.message : error.message
  const code = sqlState(error)
  const tls = ofTls(code, words)
  if (tls !== null) return new DatabaseError({ operation, reason: "Misdirected", ...tls, cause: error })
  const state = code !== undefined && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
  return new DatabaseError({
    operation,
    reason: failureOf(error),
    detail: state === undefined ? words : `${words} (SQLSTATE ${state})`,
    ...(state === undefined ? {} : { sqlState: state }),
    cause: error
  })
}
