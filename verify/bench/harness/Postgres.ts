/** A plain connection: a statement, its parameters, its rows. No pool, no retry, no spans. */
import { PgConnection } from "@effect/sql-pg"
import { Effect, Exit, Redacted, Scope } from "effect"

export interface Connection {
  readonly query: (
    statement: string,
    parameters?: ReadonlyArray<unknown>
  ) => Promise<ReadonlyArray<Readonly<Record<string, unknown>>>>
  readonly close: () => Promise<void>
}

export const connect = async (url: string): Promise<Connection> => {
  const scope = Effect.runSync(Scope.make())
  const connection = await Effect.runPromise(
    PgConnection.make({
      url: Redacted.make(url),
      applicationName: "artifact-gc-bench",
      // As the collector's own connections have it.
      startupParameters: { synchronous_commit: "on", TimeZone: "UTC" }
    }).pipe(Scope.provide(scope))
  )
  return {
    query: async (statement, parameters) =>
      (await Effect.runPromise(connection.query(statement, parameters))).rows,
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

/** Runs `work` on a connection of its own. */
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

/** The same server, another database. */
export const urlOf = (serverUrl: string, database: string): string => {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}
