/** Why a database transaction failed. */
import { Schema } from "effect"

/**
 * Why a database transaction failed. A failed transaction has no effect, with one exception: `Unavailable`
 * during COMMIT leaves the outcome unknown. Every caller therefore tries again from the start.
 *
 * - `Unavailable`: no connection, shutting down, too many clients
 * - `Contended`: lock time-out, deadlock, serialization failure; a foreground transaction had priority
 * - `TimedOut`: a statement ran longer than it may
 * - `StillReferenced`: a foreign key refused a delete (SQLSTATE 23503); the row is kept
 * - `SchemaChanged`: the catalogue's foreign keys changed since they were read; read them again
 * - `Denied`: authentication or privileges
 * - `Misdirected`: the connection leads to a server, database or pooler on which the collector cannot work
 * - `NotInstalled`: tables are missing or have another version than this program; the detail says what to run
 * - `PoolTooSmall`: the verb leaves the caller's open transaction, and the pool has no second connection for it
 * - `Unknown`: anything else; see `cause`
 */
export const DatabaseFailure = Schema.Literals([
  "Unavailable",
  "Contended",
  "TimedOut",
  "StillReferenced",
  "SchemaChanged",
  "Denied",
  "Misdirected",
  "NotInstalled",
  "PoolTooSmall",
  "Unknown"
])
export type DatabaseFailure = typeof DatabaseFailure.Type
