/**
 * Connections as the collector uses them: how statements are sent, and how a transaction of its own begins
 * and ends.
 */
import { Cause, Context, Effect } from "effect"
import type { SqlConnection } from "effect/sql"
import * as SqlClient from "effect/sql/SqlClient"
import * as SqlError from "effect/sql/SqlError"
import { sqlState } from "./Errors.ts"

/** The transaction that is open: one of the collector's own, or a savepoint of the caller's. */
export interface Open {
  /** The client on which it is open. */
  readonly client: SqlClient.SqlClient
  /** The client of the caller began the transaction. */
  readonly isHosts: boolean
  /** The first failure of a statement. After it the transaction can only be rolled back. */
  failure: SqlError.SqlError | undefined
}

/** The open transaction of this fiber that the collector knows of, or null. */
export const CurrentOpen = Context.Reference<Open | null>("artifact-gc/database/CurrentOpen", {
  defaultValue: () => null
})

/** A row of a result. */
export type Row = Readonly<Record<string, unknown>>

/** How to use the client's connections. */
export interface Connections {
  /** Uses the connection of the open transaction. */
  readonly use: <A, E, R>(
    use: (connection: SqlConnection.Connection) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  /** Runs a statement on it. */
  readonly execute: (
    statement: string,
    parameters?: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError>
  /** Runs `effect` in a transaction of the collector's own, or as a savepoint of one. */
  readonly own: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError.SqlError, R>
  /** Runs `effect` as a savepoint of a transaction that the caller has begun with the client. */
  readonly hosts: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError.SqlError, R>
  /**
   * Runs `effect` in a transaction that the host's client begins. A transaction of the host within is then a
   * savepoint: the client knows no transaction that it did not begin.
   */
  readonly begunByHost: <A, E, R>(
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | SqlError.SqlError, R>
  /**
   * Notes whether the server itself answers, or a pooler, whose server may be another one the next time.
   * `process` is the value of {@link serverProcess}.
   */
  readonly recognise: (process: unknown) => Effect.Effect<void>
  /**
   * Runs a transaction, and once more without prepared statements if the server had forgotten one. It was
   * rolled back: BEGIN and COMMIT are no prepared statements.
   */
  readonly remembering: <A, E, R>(transaction: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Returns the number of the server's process. */
export const serverProcess = "pg_catalog.pg_backend_pid()"

const made = new WeakMap<SqlClient.SqlClient, Connections>()

/** Returns how to use the connections of a client: the same answer for the same client. */
export const connectionsOf = (client: SqlClient.SqlClient): Connections => {
  const found = made.get(client) ?? make(client)
  made.set(client, found)
  return found
}

const make = (client: SqlClient.SqlClient): Connections => {
  const own = ownTransaction(client)
  /**
   * Whether statements may have names. Null until the first transaction has shown who answers, and without
   * names until then.
   */
  let named: boolean | null = null
  const raw = <A, E, R>(run: (connection: SqlConnection.Connection) => Effect.Effect<A, E, R>) =>
    Effect.withFiber<A, E, R>((fiber) => {
      const [connection] = Context.getUnsafe(fiber.context, client.transactionService)
      return noting(run(connection))
    })
  const use: Connections["use"] = (run) => raw((connection) => run(named ? connection : unnamed(connection)))
  return {
    use,
    execute: (statement, parameters = []) =>
      use((connection) => connection.execute(statement, parameters, undefined)),
    own: (effect) => rollbackMayFail(own, effect),
    hosts: (effect) => rollbackMayFail(client.withTransaction, effect),
    begunByHost: (effect) => begunByHost(client, effect, raw, () => named === true),
    recognise: (process) =>
      raw((connection) =>
        Effect.sync(() => {
          if (named !== false) named = process === processOf(connection)
        })
      ),
    remembering: (transaction) =>
      Effect.catch(transaction, (error) => {
        if (!SqlError.isSqlError(error) || named === false || !isForgotten(error)) return Effect.fail(error)
        named = false
        return transaction
      })
  }
}

/**
 * Runs `effect` in a transaction of the client. The client's COMMIT is a prepared statement, which a pooler may not
 * know, so the transaction is committed before it where statements have no names.
 */
const begunByHost = <A, E, R>(
  client: SqlClient.SqlClient,
  effect: Effect.Effect<A, E, R>,
  raw: Connections["use"],
  isNamed: () => boolean
): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.withFiber((fiber) => {
    let committed: { readonly value: A } | null = null
    const commits = (value: A): Effect.Effect<void, SqlError.SqlError> =>
      isNamed()
        ? Effect.void
        : Effect.map(
            raw((connection) => control(connection, "COMMIT")),
            () => {
              committed = { value }
            }
          )
    const within = effect.pipe(
      Effect.provideService(SqlClient.BeginTransaction, fiber.getRef(SqlClient.BeginTransaction)),
      Effect.tap(commits),
      Effect.onError(() => raw(rollback))
    )
    return rollbackMayFail(client.withTransaction, within).pipe(
      Effect.catch((error) => (committed === null ? Effect.fail(error) : Effect.succeed(committed.value))),
      Effect.provideService(SqlClient.BeginTransaction, begin)
    )
  })

/** Remembers the failure of a statement. */
const noting = <A, E, R>(statement: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tapError(statement, (error) =>
    Effect.withFiber((fiber) => {
      const open = fiber.getRef(CurrentOpen)
      if (open !== null && SqlError.isSqlError(error)) open.failure ??= error
      return Effect.void
    })
  )

const unnamed = (connection: SqlConnection.Connection): SqlConnection.Connection => ({
  execute: (...args) => connection.executeUnprepared(...args),
  executeUnprepared: (...args) => connection.executeUnprepared(...args),
  executeValues: (...args) => connection.executeValuesUnprepared(...args),
  executeValuesUnprepared: (...args) => connection.executeValuesUnprepared(...args),
  executeRaw: (...args) => connection.executeRaw(...args),
  executeStream: (...args) => connection.executeStream(...args)
})

/**
 * Returns the process that the connection was told about when it began. A pooler tells a number of its own.
 * Undefined on the client of another driver.
 */
export const processOf = (connection: SqlConnection.Connection): unknown =>
  (connection as { readonly connection?: { readonly processId?: unknown } }).connection?.processId

/** The server does not know a prepared statement, or knows it already. */
const isForgotten = (error: SqlError.SqlError): boolean => ["26000", "42P05"].includes(sqlState(error) ?? "")

/** What spans say of the database. */
export const attributes = [["db.system.name", "postgresql"]] as const

/**
 * Returns how a transaction of the collector's own runs: on a connection of its own, and without a prepared
 * statement even for BEGIN and COMMIT.
 */
const ownTransaction = (client: SqlClient.SqlClient) =>
  SqlClient.makeWithTransaction({
    transactionService: client.transactionService,
    spanAttributes: attributes,
    acquireConnection: (restore) => restore(client.reserve),
    begin: (connection) => control(connection, begin),
    savepoint: (connection, id) => control(connection, `SAVEPOINT artifact_gc_${id}`),
    commit: (connection) => control(connection, "COMMIT"),
    onCommitFailure: rollback,
    rollback,
    rollbackSavepoint: (connection, id) => control(connection, `ROLLBACK TO SAVEPOINT artifact_gc_${id}`)
  })

const begin = "BEGIN ISOLATION LEVEL READ COMMITTED"

const control = (connection: SqlConnection.Connection, statement: string) =>
  Effect.asVoid(connection.executeUnprepared(statement, [], undefined))

const rollback = (connection: SqlConnection.Connection) =>
  Effect.catch(control(connection, "ROLLBACK"), () => close(connection))

/**
 * Has a connection closed whose transaction could not be rolled back. In the pool it would fail every later
 * statement. The client closes a connection that is released with a statement on its way, and knows no other
 * request to.
 */
const close = (connection: SqlConnection.Connection): Effect.Effect<void> =>
  Effect.asVoid(
    Effect.forkDetach(Effect.ignore(connection.executeUnprepared("SELECT 1", [], undefined)), {
      startImmediately: true
    })
  )

/**
 * Runs `effect` in a transaction and keeps the failure that caused a rollback. On a lost connection the client
 * cannot roll back, and reports defects: its own and the failure of `effect`. PostgreSQL has rolled back by
 * itself.
 */
const rollbackMayFail = <A, E, R>(
  inTransaction: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError.SqlError, R>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.suspend(() => {
    let failed: Cause.Cause<E> | null = null
    const remembered = Effect.onError(effect, (cause) =>
      Effect.sync(() => {
        failed = cause
      })
    )
    return Effect.catchCause(
      inTransaction(remembered),
      (cause): Effect.Effect<never, E | SqlError.SqlError> => {
        const defects = cause.reasons.filter(Cause.isDieReason).map((reason) => reason.defect)
        const lost = defects.find(SqlError.isSqlError)
        if (lost === undefined) return Effect.failCause(cause)
        return failed === null ? Effect.fail(lost) : Effect.failCause(failed)
      }
    )
  })
