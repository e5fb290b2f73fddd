/**
 * Where transactions begin. Each sets what correctness and manners need for itself, so that nothing is
 * expected of the client, the role, the database or a connection pooler. A statement outside a transaction
 * gets one of its own.
 *
 * Statements are sent without a name: behind a pooler that shares connections by transaction, a prepared
 * statement is on another connection than the next transaction (docs/decisions/0017-sessions.md).
 */
import { PgClient } from "@effect/sql-pg"
import { Cause, Context, Duration, Effect, Option, Ref } from "effect"
import { SqlClient, type SqlConnection, SqlError, Statement } from "effect/sql"
import type { CatalogNames } from "../../domain/CatalogNames.ts"
import { sqlState } from "./Errors.ts"

/** How long transactions wait and work. */
export interface SessionOptions {
  /**
   * Longest a statement may run. Default 30 s: a slice takes 40 ms, so a statement that takes longer is
   * stuck.
   */
  readonly statementTimeout?: Duration.Duration
  /**
   * Longest a statement waits for a lock. Default 2 s: the application wins, and the collector tries again
   * later.
   */
  readonly lockTimeout?: Duration.Duration
}

/** What `Postgres.layerClient` was told, for the databases that are made on its client. */
export const SessionSettings = Context.Reference<SessionOptions>("artifact-gc/database/SessionSettings", {
  defaultValue: () => ({})
})

/** A client whose transactions are the collector's own. */
export interface Session {
  /** Runs a statement in the open transaction, or in one of its own. */
  readonly sql: SqlClient.SqlClient
  /**
   * Runs `effect` in one READ COMMITTED transaction, in the one that is already open, or as a savepoint of
   * the caller's. `settings` are set for the transaction, by name and value.
   */
  readonly transaction: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    settings?: Readonly<Record<string, string>>
  ) => Effect.Effect<A, E | SqlError.SqlError, R>
  /**
   * Runs a statement that fires triggers of the host and contains {@link asHost}. Afterwards names mean what
   * PostgreSQL ships again.
   */
  readonly firing: <A, E>(statement: Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError.SqlError>
}

/** The transaction that is open: one of the collector's own, or a savepoint of the caller's. */
interface Open {
  /** The first failure of a statement. After it the transaction can only be rolled back. */
  failure: SqlError.SqlError | undefined
}

const CurrentOpen = Context.Reference<Open | null>("artifact-gc/database/CurrentOpen", {
  defaultValue: () => null
})

/** The setting that remembers the caller's search path. PostgreSQL accepts any name with a dot. */
const hostPath = "artifact_gc.search_path"

const setting = (name: string, value: string): string =>
  `pg_catalog.set_config('${name}', '${value.replaceAll("'", "''")}', true)`

const restoresPath = `pg_catalog.set_config('search_path', pg_catalog.current_setting('${hostPath}'), true)`

const remembersPath = `pg_catalog.set_config('${hostPath}', pg_catalog.current_setting('search_path'), true)`

/**
 * A condition that is always true. PostgreSQL has looked up the statement's names when it evaluates the
 * condition, before the first row changes. Triggers of the host then find the names that they find in the
 * host's own statements.
 */
export const asHost = `(SELECT ${restoresPath}) IS NOT NULL`

/** Longer than a transaction of the collector pauses between two statements. */
const idleTimeout = Duration.seconds(60)

const defaults = { statementTimeout: Duration.seconds(30), lockTimeout: Duration.seconds(2) }

const millis = (duration: Duration.Duration) => String(Math.max(1, Math.round(Duration.toMillis(duration))))

/**
 * Returns the values of a SELECT that prepares a transaction. `synchronous_commit`: a purge that a crash
 * undoes after its object was deleted leaves a row without bytes. Values that wait for more than the local
 * disk stay.
 */
const preparing = (options: SessionOptions, path: string, settings: Readonly<Record<string, string>>) => {
  const values = {
    search_path: path,
    statement_timeout: millis(options.statementTimeout ?? defaults.statementTimeout),
    lock_timeout: millis(options.lockTimeout ?? defaults.lockTimeout),
    idle_in_transaction_session_timeout: millis(idleTimeout),
    ...settings
  }
  return [
    remembersPath,
    ...Object.entries(values).map(([name, value]) => setting(name, value)),
    `CASE WHEN pg_catalog.current_setting('synchronous_commit')
       OPERATOR(pg_catalog.=) ANY ('{off,local}'::pg_catalog.text[]) THEN ${setting("synchronous_commit", "on")} END`
  ]
}

/**
 * Finds the schemas of the extensions' types that the catalogue's columns have: their operators are there.
 * Enumerations, ranges and arrays use operators of `pg_catalog`. A row without a name says that the table
 * exists.
 */
const readTypeSchemas = `
  WITH RECURSIVE types (id) AS (
    SELECT a.atttypid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    UNION SELECT t.typbasetype FROM types JOIN pg_type t ON t.oid = types.id AND t.typtype = 'd')
  SELECT DISTINCT CASE WHEN t.typtype = 'b' AND t.typcategory <> 'A' THEN nullif(n.nspname, 'pg_catalog') END AS name
  FROM types JOIN pg_type t ON t.oid = types.id JOIN pg_namespace n ON n.oid = t.typnamespace ORDER BY 1`

/** Returns a path on which names mean what PostgreSQL and the types' extensions ship. */
const pathOf = (schemas: ReadonlyArray<string>) =>
  ["pg_catalog", ...schemas, "pg_temp"].map((name) => `"${name.replaceAll('"', '""')}"`).join(", ")

const attributes = [["db.system.name", "postgresql"]] as const

/** Returns the session of a catalogue with these names on a client. */
export const make = Effect.fnUntraced(function* (
  client: SqlClient.SqlClient,
  names: CatalogNames,
  options: SessionOptions
) {
  /** The schemas of types, once the table of blobs exists. */
  const known = yield* Ref.make<ReadonlyArray<string> | null>(null)
  const path = Effect.map(Ref.get(known), (schemas) => pathOf(schemas ?? []))
  /**
   * Whether statements may have names. Null until the first transaction has shown who answers, and without
   * names until then.
   */
  let named: boolean | null = null
  const own = ownTransaction(client)
  const onOpen: OnOpen = (use) =>
    onConnection(client, (connection) => use(named ? connection : unnamed(connection)))
  const execute = (
    statement: string,
    parameters: ReadonlyArray<string> = []
  ): Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError> =>
    onOpen((connection) => connection.execute(statement, parameters, undefined))
  const select = (values: ReadonlyArray<string>) => execute(`SELECT ${values.join(", ")}`)

  /** Reads the schemas of types, once. Most catalogues have none, and then the path is right already. */
  const addTypes = Effect.gen(function* () {
    if ((yield* Ref.get(known)) !== null) return
    const rows = yield* execute(readTypeSchemas, [names.schema, names.blobsTable])
    if (rows.length === 0) return
    const schemas = rows.flatMap(({ name }) => (name === null ? [] : [String(name)]))
    yield* Ref.set(known, schemas)
    if (schemas.length > 0) yield* select([setting("search_path", pathOf(schemas))])
  })

  /** Notes whether the server itself answers, or a pooler, whose server may be another one the next time. */
  const recognise = (answered: unknown) =>
    onConnection(client, (connection) =>
      Effect.sync(() => {
        if (named !== false) named = answered === processOf(connection)
      })
    )

  const transaction: Session["transaction"] = (effect, settings = {}) =>
    Effect.withFiber((fiber) => {
      const isInside = fiber.getRef(CurrentOpen) !== null
      if (isInside) {
        const values = Object.entries(settings).map(([name, value]) => setting(name, value))
        return values.length === 0 ? effect : Effect.andThen(select(values), effect)
      }
      const isHosts = Option.isSome(Context.getOption(fiber.context, client.transactionService))
      const body = (
        prepare: Effect.Effect<unknown, SqlError.SqlError>,
        last: Effect.Effect<unknown, SqlError.SqlError>
      ) =>
        Effect.suspend(() => {
          const open: Open = { failure: undefined }
          return Effect.andThen(prepare, addTypes).pipe(
            Effect.andThen(effect),
            // A statement's failure that was caught cannot be committed: PostgreSQL would roll back.
            Effect.tap(() => (open.failure === undefined ? last : Effect.fail(open.failure))),
            Effect.provideService(CurrentOpen, open)
          )
        })
      return Effect.flatMap(path, (path) => {
        if (isHosts) {
          const prepared = [remembersPath, setting("search_path", path)]
          return rollbackMayFail(client.withTransaction(body(select(prepared), select([restoresPath]))))
        }
        const prepare = Effect.flatMap(
          select([...preparing(options, path, settings), `${serverProcess} AS ${answering}`]),
          ([row]) => recognise(row?.[answering])
        )
        const attempt = own(body(prepare, Effect.void))
        return Effect.catch(attempt, (error) => {
          if (!SqlError.isSqlError(error) || named === false || !isForgotten(error)) return Effect.fail(error)
          named = false
          return attempt
        })
      })
    })

  const firing: Session["firing"] = (statement) =>
    Effect.tap(
      statement,
      Effect.flatMap(path, (path) => select([setting("search_path", path)]))
    )

  const borrower: SqlConnection.Borrower = (use) => transaction(onOpen(use))
  // The acquirer is a value of its own: Statement.make has one constructor for each, whatever the borrower.
  const acquirer = Effect.suspend(() => client.reserve)
  const statements = Statement.make(acquirer, PgClient.makeCompiler(), attributes, undefined, borrower)
  const sql: SqlClient.SqlClient = Object.assign(statements, {
    ...client,
    ...statements,
    withTransaction: <R, E, A>(effect: Effect.Effect<A, E, R>) => transaction(effect)
  })
  return { sql, transaction, firing } satisfies Session as Session
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

type Row = Readonly<Record<string, unknown>>

type OnOpen = <A, E, R>(
  use: (connection: SqlConnection.Connection) => Effect.Effect<A, E, R>
) => Effect.Effect<A, E, R>

const serverProcess = "pg_catalog.pg_backend_pid()"
const answering = "answering"

/**
 * Returns the process that the connection was told about when it began. A pooler tells a number of its own.
 * Undefined on the client of another driver.
 */
const processOf = (connection: SqlConnection.Connection): unknown =>
  (connection as { readonly connection?: { readonly processId?: unknown } }).connection?.processId

/** The server does not know a prepared statement, or knows it already. */
const isForgotten = (error: SqlError.SqlError): boolean => ["26000", "42P05"].includes(sqlState(error) ?? "")

/** Uses the connection of the open transaction. */
const onConnection = <A, E, R>(
  client: SqlClient.SqlClient,
  use: (connection: SqlConnection.Connection) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const [connection] = Context.getUnsafe(fiber.context, client.transactionService)
    return noting(use(connection))
  })

/**
 * Returns how a transaction of the collector's own runs: on a connection of its own, and without a prepared
 * statement even for BEGIN and COMMIT.
 */
const ownTransaction = (client: SqlClient.SqlClient) => {
  const control = (connection: SqlConnection.Connection, statement: string) =>
    Effect.asVoid(connection.executeUnprepared(statement, [], undefined))
  const rollback = (connection: SqlConnection.Connection) =>
    Effect.catch(control(connection, "ROLLBACK"), () => close(connection))
  return SqlClient.makeWithTransaction({
    transactionService: client.transactionService,
    spanAttributes: attributes,
    acquireConnection: (restore) => restore(client.reserve),
    begin: (connection) => control(connection, "BEGIN ISOLATION LEVEL READ COMMITTED"),
    savepoint: (connection, id) => control(connection, `SAVEPOINT artifact_gc_${id}`),
    commit: (connection) => control(connection, "COMMIT"),
    onCommitFailure: rollback,
    rollback,
    rollbackSavepoint: (connection, id) => control(connection, `ROLLBACK TO SAVEPOINT artifact_gc_${id}`)
  })
}

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
 * Turns a failed rollback of a savepoint into the error that caused it. On a lost connection the client
 * cannot roll back and reports a defect. PostgreSQL has rolled back by itself.
 */
const rollbackMayFail = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.catchCause(effect, (cause): Effect.Effect<never, E | SqlError.SqlError> => {
    const defects = cause.reasons.filter(Cause.isDieReason).map((reason) => reason.defect)
    const lost = defects.find(SqlError.isSqlError)
    if (lost === undefined) return Effect.failCause(cause)
    const others = cause.reasons.filter(
      (reason) => !(Cause.isDieReason(reason) && SqlError.isSqlError(reason.defect))
    )
    return others.length === 0 ? Effect.fail(lost) : Effect.failCause(Cause.fromReasons(others))
  })

/** Runs `effect` outside the transaction that the caller has open. */
export const outside = <A, E>(
  client: SqlClient.SqlClient,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.provideService(effect, CurrentOpen, null).pipe(
    Effect.updateContext((context: Context.Context<never>) =>
      Context.omit(client.transactionService)(context)
    )
  )
