/** What the collector says of PostgreSQL's error codes: why, and the next step. */
import type { DatabaseFailure } from "./DatabaseFailure.ts"

/** Of an error code, its reason and the sentences that follow the server's own text. */
export interface SqlStateWords {
  readonly reason: DatabaseFailure
  /** What it is, whether anything was deleted, and what to do. */
  readonly advice: string
}

const again = "The transaction changed nothing. A running collector tries again at its next sweep."
const pooler =
  "A connection pooler stands between this program and PostgreSQL, and it gave a transaction another server or refused a parameter. The transaction changed nothing. docs/operations.md, “Connection poolers”, names the poolers that work and their settings."
const address = "The transaction deleted nothing. Correct DATABASE_URL."
const missingName =
  "The transaction changed nothing. Run artifact-gc migrate, and compare the CATALOG_* settings with the catalogue. A trigger of yours that names it needs a path of its own: ALTER FUNCTION … SET search_path."
const value =
  "A value of the catalogue does not fit what the collector does with it. The transaction changed nothing. Find the row by the server's text and correct it."
const refusedRow =
  "A constraint or trigger of the catalogue refused a row. The transaction changed nothing. Correct the row or the constraint."

const unavailable = (advice: string): SqlStateWords => ({ reason: "Unavailable", advice })
const unknown = (advice: string): SqlStateWords => ({ reason: "Unknown", advice })
const misdirected = (advice: string): SqlStateWords => ({ reason: "Misdirected", advice })
const denied = (advice: string): SqlStateWords => ({ reason: "Denied", advice })
const contended = (advice: string): SqlStateWords => ({ reason: "Contended", advice })

const gaveWay =
  "The transaction gave way to others and changed nothing. A running collector tries again; run a command again."

/** The codes that the collector knows. */
export const sqlStates: Readonly<Record<string, SqlStateWords>> = {
  "08P01": misdirected(pooler),
  "22003": unknown(value),
  "22021": unknown(value),
  "22P02": unknown(value),
  "23502": unknown(refusedRow),
  "23505": unknown(refusedRow),
  "23514": unknown(refusedRow),
  "25006": misdirected(
    "The server accepts no writes: it is a standby, or default_transaction_read_only is on. The transaction deleted nothing. Point DATABASE_URL at the primary, or switch default_transaction_read_only off for this role."
  ),
  "25P02": unknown(
    "An earlier statement of the transaction failed. The transaction changed nothing. Behind a connection pooler see docs/operations.md, “Connection poolers”."
  ),
  "25P03": unavailable(
    `The transaction paused for longer than idle_in_transaction_session_timeout, so the server ended it. ${again} Check whether this process is suspended or short of CPU.`
  ),
  "26000": misdirected(pooler),
  "28000": denied(
    `The server does not accept this user or this way to connect. ${address} See pg_hba.conf. If it asks for a certificate, set DATABASE_TLS_CERT and DATABASE_TLS_KEY; if it asks for encryption, sslmode.`
  ),
  "28P01": denied(`The user or the password of DATABASE_URL is wrong. ${address}`),
  "3D000": misdirected(`The database that DATABASE_URL names does not exist. ${address}`),
  "3F000": unknown(missingName),
  "40001": contended(gaveWay),
  "40P01": contended(gaveWay),
  "42501": denied(
    "The role lacks a privilege. The transaction changed nothing. Grant the role the privileges that docs/operations.md lists."
  ),
  "42703": unknown(missingName),
  "42883": unknown(missingName),
  "42P01": unknown(missingName),
  "42P05": misdirected(pooler),
  "53100": unavailable(
    `The disk of the database is full. ${again} Free space there first: what the collector deletes frees space in the store, not in the database.`
  ),
  "53200": unavailable(`The database has no memory left. ${again}`),
  "53300": unavailable(
    `The database has no connection left. ${again} Raise its max_connections, or lower DATABASE_MAX_CONNECTIONS.`
  ),
  "55P03": contended(gaveWay),
  "57014": {
    reason: "TimedOut",
    advice:
      "A statement ran longer than it may, or an operator cancelled it. The transaction changed nothing. Raise DATABASE_STATEMENT_TIMEOUT, or find out why it is slow: missing indexes, old statistics (ANALYZE), a busy server."
  },
  "57P01": unavailable(`An operator or a restart ended the connection. ${again}`),
  "57P02": unavailable(`The database crashed and is recovering. ${again}`),
  "57P03": unavailable(`The database is starting up or shutting down. ${again}`),
  "57P05": unavailable(`The server ended a connection that was idle. ${again}`),
  "58030": unknown(
    "The database cannot read or write its files. The transaction deleted nothing. See the server's log."
  ),
  XX000: unknown(
    "PostgreSQL reports a fault of its own. The transaction changed nothing. See the server's log."
  ),
  XX001: unknown(
    "A table of the database is damaged. The transaction deleted nothing. Stop the collectors and restore the table before they run again."
  ),
  XX002: unknown(
    "An index of the database is damaged. The transaction deleted nothing. Stop the collectors and run REINDEX before they run again."
  )
}
