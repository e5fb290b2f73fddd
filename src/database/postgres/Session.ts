/**
 * Where transactions begin. Each sets what correctness and manners need for itself, so that nothing is
 * expected of the client, the role, the database or a connection pooler. A statement outside a transaction
 * gets one of its own, unless it only reads and connections for that are at hand (Reader.ts).
 *
 * Behind a pooler that shares connections by transaction, a prepared statement is on another connection than
 * the next transaction, so statements have no names there (docs/decisions/0017-sessions.md).
 */
import { PgClient } from "@effect/sql-pg"
import { Context, Duration, Effect, Option, Ref } from "effect"
import type { SqlClient, SqlConnection, SqlError } from "effect/sql"
import * as Statement from "effect/sql/Statement"
import type { CatalogNames } from "../../domain/CatalogNames.ts"
import { attributes, CurrentOpen, connectionsOf, type Open, type Row, serverProcess } from "./Connections.ts"
import { alone, reading } from "./Reader.ts"

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
  /** Begins transactions in which the server refuses to write. Default false. */
  readonly readOnly?: boolean
}

/** What `Postgres.layerClient` was told, and the connections that it keeps for statements that read. */
export interface ClientSettings extends SessionOptions {
  /** Default: none, so that such statements have transactions, too. */
  readonly reader?: SqlClient.SqlClient
  /** Connections for {@link Session.single}. Default: none, so that such statements have transactions of several round trips. */
  readonly writer?: SqlClient.SqlClient
}

/** What `Postgres.layerClient` tells the databases that are made on its client. */
export const SessionSettings = Context.Reference<ClientSettings>("artifact-gc/database/SessionSettings", {
  defaultValue: () => ({})
})

/** Settings of PostgreSQL, by name. */
export type Settings = Readonly<Record<string, string>>

/** A client whose transactions are the collector's own. */
export interface Session {
  /** Runs a statement in the open transaction, or in one of its own. */
  readonly sql: SqlClient.SqlClient
  /**
   * Runs a statement like {@link Session.sql}, in one round trip where there are connections for that. Only for statements on
   * tables of the collector: triggers of a host would not find their names.
   */
  readonly single: SqlClient.SqlClient
  /**
   * Runs `effect` in one READ COMMITTED transaction, or as a savepoint of the one that is open. `settings` are
   * set for the transaction, by name and value.
   */
  readonly transaction: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    settings?: Settings
  ) => Effect.Effect<A, E | SqlError.SqlError, R>
  /**
   * Runs a statement that fires triggers of the host and contains {@link asHost}. Afterwards names mean what
   * PostgreSQL ships again.
   */
  readonly firing: <A, E>(statement: Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError.SqlError>
  /** Runs `effect` in a transaction of its own in which {@link Session.lending} may run statements of the host. */
  readonly lendable: Session["transaction"]
  /**
   * Runs statements of the host in a transaction of {@link Session.lendable}. Names mean what they mean in the host's other
   * transactions, and verbs within them join. Returns which transaction it is.
   *
   * Fails if a statement failed, also if `effect` caught the failure: PostgreSQL would roll back at COMMIT and
   * report success.
   */
  readonly lending: <E>(
    effect: Effect.Effect<unknown, E>
  ) => Effect.Effect<TransactionId, E | SqlError.SqlError>
}

/** A transaction of the server. */
export interface TransactionId {
  /** Its number. */
  readonly xid: string
  /** When the server started. After a fail-over the number may be another transaction's. */
  readonly serverStart: string
}

/** Returns when the server started, as text that tells one start from another. */
export const serverStart = "pg_catalog.pg_postmaster_start_time()::pg_catalog.text"

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

/** Returns the settings with which a connection begins that is used for statements that read, and nothing else. */
export const readerSettings = (options: SessionOptions): Settings => ({
  TimeZone: "UTC",
  search_path: pathOf([]),
  statement_timeout: millis(options.statementTimeout ?? defaults.statementTimeout),
  lock_timeout: millis(options.lockTimeout ?? defaults.lockTimeout),
  default_transaction_read_only: "on"
})

/** A lock is held for milliseconds, unless its process has stopped. */
const writerLockShare = 1 / 20

/**
 * Returns the settings with which a connection begins for single statements that write. `commit` is the server's
 * `synchronous_commit`, as for {@link preparing}. Such a statement waits for a lock for a twentieth of the usual time, and then
 * in a transaction (`alone`).
 */
export const writerSettings = (options: SessionOptions, commit: string): Settings => ({
  ...readerSettings(options),
  lock_timeout: millis(Duration.times(options.lockTimeout ?? defaults.lockTimeout, writerLockShare)),
  default_transaction_read_only: "off",
  synchronous_commit: commit === "off" || commit === "local" ? "on" : commit
})

/** Longer than a transaction of the collector pauses between two statements. */
const idleTimeout = Duration.seconds(60)

const defaults = { statementTimeout: Duration.seconds(30), lockTimeout: Duration.seconds(2) }

const millis = (duration: Duration.Duration) => String(Math.max(1, Math.round(Duration.toMillis(duration))))

/**
 * Returns the values of a SELECT that prepares a transaction. `synchronous_commit`: a purge that a crash
 * undoes after its object was deleted leaves a row without bytes. Values that wait for more than the local
 * disk stay.
 */
const preparing = (options: SessionOptions, path: string, settings: Settings) => {
  const values = {
    search_path: path,
    statement_timeout: millis(options.statementTimeout ?? defaults.statementTimeout),
    lock_timeout: millis(options.lockTimeout ?? defaults.lockTimeout),
    idle_in_transaction_session_timeout: millis(idleTimeout),
    ...(options.readOnly === true ? { transaction_read_only: "on" } : {}),
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

/** Returns the session of a catalogue with these names on a client. */
export const make = Effect.fnUntraced(function* (
  client: SqlClient.SqlClient,
  names: CatalogNames,
  options: ClientSettings
) {
  /** The schemas of types, once the table of blobs exists. */
  const known = yield* Ref.make<ReadonlyArray<string> | null>(null)
  const path = Effect.map(Ref.get(known), (schemas) => pathOf(schemas ?? []))
  const { begunByHost, execute, hosts, own, recognise, remembering, use } = connectionsOf(client)
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

  /** Runs `prepare`, `effect` and `last` as one level of a transaction. */
  const level = <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    prepare: Effect.Effect<unknown, SqlError.SqlError>,
    { isHosts, last = Effect.void }: { isHosts: boolean; last?: Effect.Effect<unknown, SqlError.SqlError> }
  ) =>
    Effect.suspend(() => {
      const open: Open = { client, isHosts, failure: undefined }
      return Effect.andThen(prepare, effect).pipe(
        // A statement's failure that was caught cannot be committed: PostgreSQL would roll back.
        Effect.tap(() => (open.failure === undefined ? last : Effect.fail(open.failure))),
        Effect.provideService(CurrentOpen, open)
      )
    })

  /** A savepoint within what this session has begun. */
  const savepoint = <A, E, R>(effect: Effect.Effect<A, E, R>, settings: Settings, { isHosts }: Open) => {
    const values = Object.entries(settings).map(([name, value]) => setting(name, value))
    const prepare = values.length === 0 ? Effect.void : select(values)
    return (isHosts ? hosts : own)(level(effect, prepare, { isHosts }))
  }

  /** A savepoint of the transaction that the caller has open. Only the search path changes, until its end. */
  const joined = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.flatMap(path, (path) =>
      hosts(
        level(effect, Effect.andThen(select([remembersPath, setting("search_path", path)]), addTypes), {
          isHosts: true,
          last: select([restoresPath])
        })
      )
    )

  const begun = <A, E, R>(effect: Effect.Effect<A, E, R>, settings: Settings, isHosts = false) =>
    Effect.flatMap(path, (path) => {
      const prepare = Effect.flatMap(
        select([...preparing(options, path, settings), `${serverProcess} AS process`]),
        ([row]) => recognise(row?.process)
      )
      const begin = isHosts ? begunByHost : own
      return remembering(begin(level(effect, Effect.andThen(prepare, addTypes), { isHosts })))
    })

  const transaction: Session["transaction"] = (effect, settings = {}) =>
    Effect.withFiber((fiber) => {
      const open = fiber.getRef(CurrentOpen)
      if (open?.client === client) return savepoint(effect, settings, open)
      const isHosts = Option.isSome(Context.getOption(fiber.context, client.transactionService))
      return isHosts ? joined(effect) : begun(effect, settings)
    })

  const firing: Session["firing"] = (statement) =>
    Effect.tap(
      statement,
      Effect.flatMap(path, (path) => select([setting("search_path", path)]))
    )

  const inTransaction: SqlConnection.Borrower = (run) => transaction(use(run))
  const reads = options.reader === undefined ? null : reading(options.reader, inTransaction)
  /** The path of the reading connections has no extension's types. */
  const isReadable = () => Ref.getUnsafe(known)?.length === 0

  /** Uses the connection of the open transaction, else `alone` where it may be used, else a transaction. */
  const using =
    (alone: SqlConnection.Connection | null, mayUse = always): SqlConnection.Borrower =>
    (run) =>
      Effect.withFiber((fiber) => {
        if (fiber.getRef(CurrentOpen)?.client === client) return use(run)
        const isHosts = Option.isSome(Context.getOption(fiber.context, client.transactionService))
        return alone === null || isHosts || !mayUse() ? inTransaction(run) : run(alone)
      })
  const sql = borrowing(client, transaction, using(reads, isReadable))
  const writes = options.writer === undefined ? null : alone(options.writer, inTransaction)
  const single = borrowing(client, transaction, using(writes))
  const lendable: Session["transaction"] = (effect, settings = {}) => begun(effect, settings, true)
  const lending = lendingBy(select, path)
  return { sql, single, transaction, firing, lendable, lending } satisfies Session as Session
})

const always = () => true

/** Returns the client with statements that borrow their connections. */
const borrowing = (
  client: SqlClient.SqlClient,
  transaction: Session["transaction"],
  borrower: SqlConnection.Borrower
): SqlClient.SqlClient => {
  // The acquirer is a value of its own: Statement.make has one constructor for each, whatever the borrower.
  const acquirer = Effect.suspend(() => client.reserve)
  const statements = Statement.make(acquirer, PgClient.makeCompiler(), attributes, undefined, borrower)
  return Object.assign(statements, {
    ...client,
    ...statements,
    withTransaction: <R, E, A>(effect: Effect.Effect<A, E, R>) => transaction(effect)
  })
}

/** Returns how statements of the host run in the open transaction. */
const lendingBy =
  (
    select: (values: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError>,
    path: Effect.Effect<string>
  ): Session["lending"] =>
  (effect) =>
    Effect.gen(function* () {
      yield* select([restoresPath])
      // Verbs of the collector within `effect` are the host's: they pin the path, and set it back.
      yield* Effect.provideService(effect, CurrentOpen, null)
      const [row] = yield* select([
        setting("search_path", yield* path),
        "pg_catalog.pg_current_xact_id()::pg_catalog.text AS xid",
        `${serverStart} AS server_start`
      ])
      return { xid: String(row?.xid), serverStart: String(row?.server_start) }
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
