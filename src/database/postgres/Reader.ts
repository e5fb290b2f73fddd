/**
 * Connections for single statements that read. A transaction costs three round trips more, and holds a connection alone.
 *
 * They belong to the collector: no host's statement changes their settings. They begin with the path on which names mean what
 * PostgreSQL ships, and with transactions that cannot write. A pooler refuses such a beginning, and then there are none.
 */
import { Effect, Stream } from "effect"
import type { SqlClient, SqlConnection, SqlError } from "effect/sql"
import { processOf, serverProcess } from "./Connections.ts"

/** What a statement may contain that locks rows or has another effect. Each looks up to the letter, and in doubt is not a read. */
const changing =
  /\b(?:insert|update|delete|merge|truncate|lock|notify|listen|create|alter|drop|grant|call|set_config|nextval|setval|pg_notify|share)\b|pg_(?:try_)?advisory/i

/** The statement has a span already, on the client of which it was asked. */
const untraced = <A, E>(statement: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withTracerEnabled(statement, false)

/**
 * Returns a connection that runs a statement that reads on the reader, and others as `inTransaction` does. Streams of rows
 * need a transaction.
 */
export const reading = (
  reader: SqlClient.SqlClient,
  inTransaction: SqlConnection.Borrower
): SqlConnection.Connection => ({
  execute: (text, parameters, transform) =>
    changing.test(text)
      ? inTransaction((connection) => connection.execute(text, parameters, transform))
      : untraced(reader.unsafe(text, parameters)),
  executeUnprepared: (text, parameters, transform) =>
    inTransaction((connection) => connection.executeUnprepared(text, parameters, transform)),
  executeValues: (text, parameters) =>
    changing.test(text)
      ? inTransaction((connection) => connection.executeValues(text, parameters))
      : untraced(reader.unsafe(text, parameters).values),
  executeValuesUnprepared: (text, parameters) =>
    inTransaction((connection) => connection.executeValuesUnprepared(text, parameters)),
  executeRaw: (text, parameters) => inTransaction((connection) => connection.executeRaw(text, parameters)),
  executeStream: () => Stream.die(new Error("A stream of rows needs a transaction"))
})

/**
 * Returns a connection that runs each statement alone, so that it is a transaction in one round trip. There are few of these
 * connections, so a statement that waits for a lock makes way for others: it has changed nothing, and waits on in a transaction.
 */
export const alone = (
  writer: SqlClient.SqlClient,
  inTransaction: SqlConnection.Borrower
): SqlConnection.Connection => {
  const orWaiting = <A>(
    statement: Effect.Effect<A, SqlError.SqlError>,
    run: (connection: SqlConnection.Connection) => Effect.Effect<A, SqlError.SqlError>
  ) =>
    Effect.catchIf(
      untraced(statement),
      ({ reason }) => reason._tag === "LockTimeoutError",
      () => inTransaction(run)
    )
  return {
    execute: (text, parameters, transform) =>
      orWaiting(writer.unsafe(text, parameters), (connection) =>
        connection.execute(text, parameters, transform)
      ),
    executeUnprepared: (text, parameters, transform) =>
      orWaiting(writer.unsafe(text, parameters).unprepared, (connection) =>
        connection.executeUnprepared(text, parameters, transform)
      ),
    executeValues: (text, parameters) =>
      orWaiting(writer.unsafe(text, parameters).values, (connection) =>
        connection.executeValues(text, parameters)
      ),
    executeValuesUnprepared: (text, parameters) =>
      orWaiting(writer.unsafe(text, parameters).values, (connection) =>
        connection.executeValuesUnprepared(text, parameters)
      ),
    executeRaw: (text, parameters) =>
      orWaiting(writer.unsafe(text, parameters).raw, (connection) => connection.executeRaw(text, parameters)),
    executeStream: () => Stream.die(new Error("A stream of rows needs a transaction"))
  }
}

/**
 * Returns the server's `synchronous_commit` if the server itself answers on these connections, and not a pooler. Returns null
 * otherwise, and after any failure.
 */
export const directCommit = (reader: SqlClient.SqlClient): Effect.Effect<string | null> =>
  Effect.scoped(
    Effect.gen(function* () {
      const connection = yield* reader.reserve
      const [row] = yield* connection.execute(
        `SELECT ${serverProcess} AS process, pg_catalog.current_setting('synchronous_commit') AS commit`,
        [],
        undefined
      )
      return row?.process === processOf(connection) ? String(row?.commit) : null
    })
  ).pipe(Effect.catchCause(() => Effect.succeed(null)))
