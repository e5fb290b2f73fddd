/** A plain connection to PostgreSQL, without pool, retries or spans. */
import { PgConnection } from "@effect/sql-pg"
import { Effect, Exit, Redacted, Scope } from "effect"

/** A connection. */
export interface Connection {
  /** Executes a statement and returns its rows. */
  readonly query: (
    statement: string,
    parameters?: ReadonlyArray<unknown>
  ) => Promise<ReadonlyArray<Readonly<Record<string, unknown>>>>
  /** Closes the connection. */
  readonly close: () => Promise<void>
}

/** Opens a connection. */
export const connect = async (url: string): Promise<Connection> => {
  const scope = Effect.runSync(Scope.make())
  const connection = await Effect.runPromise(
    PgConnection.make({
      url: Redacted.make(url),
      applicationName: "artifact-gc-bench",
      // The collector's connections have the same parameters.
      startupParameters: { synchronous_commit: "on", TimeZone: "UTC" }
    }).pipe(Scope.provide(scope))
  )
  return {
    query: async (statement, parameters) =>
      (await Effect.runPromise(connection.query(statement, parameters))).rows,
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

/** Runs `work` on a new connection. */
export const withConnection = async <A>(
  url: string,
  work: (connection: Connection) => Promise<A>
): Promise<A> => {
  const connection = await connect(url)
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}

/** Returns the URL of another database on the same server. */
export const urlOf = (serverUrl: string, database: string): string => {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}
