/**
 * How statements reach PostgreSQL: quoting, transactions, translation of errors, and the retry of whole
 * verbs.
 *
 * Every verb but one is a transaction that may be repeated, so the retry lives here and nowhere above.
 */
import { Clock, Duration, Effect, Option, Schedule } from "effect"
import type { Statement } from "effect/sql"
import * as SqlClient from "effect/sql/SqlClient"
import * as SqlError from "effect/sql/SqlError"
import type { CatalogNames } from "../../domain/CatalogNames.ts"
import { DatabaseError } from "../../domain/DatabaseError.ts"
import { translate } from "./Errors.ts"
import { HostFailed, unwrapped } from "./HostFailed.ts"
import {
  asHost,
  outside,
  type SessionOptions,
  SessionSettings,
  type Settings,
  make as sessionOf,
  type TransactionId
} from "./Session.ts"

/** Returns an identifier, quoted. Dots in it are part of the name. */
export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Returns `schema.table`, quoted. */
export const qualified = (schema: string, table: string): string => `${quote(schema)}.${quote(table)}`

/** A connection for verbs, and the names that statements need. */
export interface Sql {
  readonly sql: SqlClient.SqlClient
  /** Runs a single statement on tables of the collector. See Session.ts. */
  readonly single: SqlClient.SqlClient
  readonly names: CatalogNames
  /** Puts text into a statement as it is: quoted identifiers and type names only, never values. */
  readonly raw: (text: string) => Statement.Fragment
  /** Identifiers every statement needs, quoted. */
  readonly id: Identifiers
  /**
   * Runs `effect` as the verb `operation`: errors translated, transient ones retried, on the process's own
   * clock.
   *
   * Leaves a transaction that the caller has open with this client, and uses another connection. In the
   * caller's transaction the verb would be a savepoint: objects would be deleted before the commit, and
   * rows would return with a rollback.
   */
  readonly verb: <A, E>(
    operation: string,
    effect: Effect.Effect<A, E>
  ) => Effect.Effect<A, DatabaseError | Exclude<E, SqlError.SqlError>>
  /** Runs `effect` like `verb`, but tries it once: a lost commit must not be repeated. */
  readonly once: Sql["verb"]
  /**
   * Runs `effect` as a savepoint of the caller's open transaction, tried once, or like `verb` where there
   * is none. Only for verbs that precede no request to the store.
   */
  readonly joining: Sql["verb"]
  /**
   * Runs `effect` in one READ COMMITTED transaction: each statement sees all transactions committed before it
   * began. What the transaction needs is set for it, whatever the settings of the client, role or database
   * (Session.ts). Within a transaction it is a savepoint.
   */
  readonly transaction: <A, E>(
    effect: Effect.Effect<A, E>,
    settings?: Settings
  ) => Effect.Effect<A, E | SqlError.SqlError>
  /**
   * Runs a statement that changes rows of the host's tables and contains {@link Sql.asHost}, so that the
   * host's triggers find the names that they find in the host's own statements.
   */
  readonly firing: <A, E>(statement: Effect.Effect<A, E>) => Effect.Effect<A, E | SqlError.SqlError>
  /** Like {@link Sql.transaction}, never within another, for statements of the host by {@link Sql.lending}. */
  readonly lendable: Sql["transaction"]
  /** Runs statements of the host in the open transaction. See Session.ts. */
  readonly lending: <E>(
    effect: Effect.Effect<unknown, E>
  ) => Effect.Effect<TransactionId, E | SqlError.SqlError>
  /** A condition that is always true. See {@link Sql.firing}. */
  readonly asHost: Statement.Fragment
}

/** The quoted names of tables and of the catalogue's columns. */
export interface Identifiers {
  readonly blobs: Statement.Fragment
  readonly digest: Statement.Fragment
  readonly key: Statement.Fragment
  readonly size: Statement.Fragment
  readonly createdAt: Statement.Fragment
  readonly orphans: Statement.Fragment
  readonly journal: Statement.Fragment
  readonly intents: Statement.Fragment
  readonly scans: Statement.Fragment
  readonly pins: Statement.Fragment
  readonly listings: Statement.Fragment
  readonly listingRanges: Statement.Fragment
  readonly binding: Statement.Fragment
  readonly breakers: Statement.Fragment
  readonly breakerHistory: Statement.Fragment
  readonly collectors: Statement.Fragment
  readonly control: Statement.Fragment
  readonly history: Statement.Fragment
  readonly lastAudit: Statement.Fragment
  readonly referenceKeys: Statement.Fragment
  readonly referenceChecks: Statement.Fragment
  readonly referenceSources: Statement.Fragment
  readonly tombstones: Statement.Fragment
  readonly buriedKeys: Statement.Fragment
  readonly suspects: Statement.Fragment
  readonly candidates: Statement.Fragment
  readonly installation: Statement.Fragment
  /**
   * Chunks of upload sessions. The registry writes them, and they stay in the core as the fourth owner of
   * keys. The proof that a key is dead needs one snapshot over all owners: blobs, intents, chunks, journal.
   */
  readonly uploadChunks: Statement.Fragment
  /** Upload sessions, which the registry writes with their chunks. */
  readonly uploadSessions: Statement.Fragment
}

/**
 * 5 attempts within 10 s: enough for a fail-over of the connection pool or a lost lock race. Later sweeps
 * retry the rest.
 */
const policy = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")]).pipe(
  Schedule.jittered,
  Schedule.upTo({ times: 4, duration: "10 seconds" })
)

/**
 * Runs an effect on the process's clock. The pool's time-outs and the back-off must run even when
 * `TestClock` governs the decisions. Decisions never read this clock: callers pass instants.
 */
export const onProcessClock = Effect.provideService(Clock.Clock, Clock.Clock.defaultValue())

/** The span of a verb. Without the place in the source, which is this one for all, and costs as much as the rest. */
const spanOf = (operation: string) =>
  Effect.withSpan(`Database.${operation}`, {}, { captureStackTrace: false })

/**
 * Returns the connection for a catalogue with these names, on the client of the context. Time-outs not given
 * are those of `Postgres.layerClient`, or the defaults on another client.
 */
export const make = Effect.fnUntraced(function* (names: CatalogNames, options: SessionOptions = {}) {
  const client = yield* SqlClient.SqlClient
  const { sql, single, transaction, firing, lendable, lending } = yield* sessionOf(client, names, {
    ...(yield* SessionSettings),
    ...options
  })
  const raw = (text: string) => sql.literal(text)
  const own = (table: string) => raw(qualified(names.collectorSchema, table))
  const db: Sql = {
    sql,
    single,
    names,
    raw,
    id: {
      blobs: raw(qualified(names.schema, names.blobsTable)),
      digest: raw(quote(names.digestColumn)),
      key: raw(quote(names.keyColumn)),
      size: raw(quote(names.sizeColumn)),
      createdAt: raw(quote(names.createdAtColumn)),
      orphans: own("orphans"),
      journal: own("journal"),
      intents: own("intents"),
      scans: own("scans"),
      pins: own("pins"),
      listings: own("listings"),
      listingRanges: own("listing_ranges"),
      binding: own("binding"),
      breakers: own("breakers"),
      breakerHistory: own("breaker_history"),
      collectors: own("collectors"),
      control: own("control"),
      history: own("history"),
      lastAudit: own("last_audit"),
      referenceKeys: own("reference_keys"),
      referenceChecks: own("reference_checks"),
      referenceSources: own("reference_sources"),
      tombstones: own("tombstones"),
      buriedKeys: own("buried_keys"),
      suspects: own("suspects"),
      candidates: own("candidates"),
      installation: own("installation"),
      uploadChunks: own("upload_chunks"),
      uploadSessions: own("upload_sessions")
    },
    verb: (operation, effect) =>
      leavesTransaction(
        client,
        operation,
        Effect.retry(translated(names, operation, effect), {
          while: (error) =>
            (error instanceof DatabaseError || error instanceof HostFailed) && error.isRetryable,
          schedule: policy
        })
      ).pipe(Effect.mapError(unwrapped), onProcessClock, spanOf(operation)),
    once: (operation, effect) =>
      leavesTransaction(client, operation, translated(names, operation, effect)).pipe(
        onProcessClock,
        spanOf(operation)
      ),
    joining: (operation, effect) =>
      Effect.flatMap(Effect.serviceOption(client.transactionService), (open) =>
        Option.isNone(open)
          ? db.verb(operation, effect)
          : translated(names, operation, transaction(effect)).pipe(onProcessClock, spanOf(operation))
      ),
    transaction,
    firing,
    lendable,
    lending,
    asHost: raw(asHost)
  }
  return db
})

/**
 * Runs a verb outside a transaction that the caller has open: drops it from the fiber's context. The verb
 * needs another connection than the caller's, and a pool of one would make it wait for ever, so it first
 * waits for a free connection and gives up after a while.
 */
const leavesTransaction = <A, E>(
  client: SqlClient.SqlClient,
  operation: string,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E | DatabaseError> =>
  Effect.flatMap(Effect.serviceOption(client.transactionService), (open) => {
    if (Option.isNone(open)) return effect
    const second = Effect.scoped(client.reserve).pipe(
      Effect.mapError((error) => translate(operation, error)),
      Effect.timeoutOrElse({
        duration: secondConnectionWithin,
        orElse: () => Effect.fail(noSecondConnection(operation))
      })
    )
    return outside(client, Effect.andThen(second, effect))
  })

/** Longer than a busy pool of several connections makes a verb wait. */
const secondConnectionWithin = Duration.seconds(10)

const noSecondConnection = (operation: string): DatabaseError =>
  new DatabaseError({
    operation,
    reason: "PoolTooSmall",
    detail:
      "the verb leaves the transaction that the caller has open, and the connection pool had no second connection for it within 10 s"
  })

const translated = <A, E>(names: CatalogNames, operation: string, effect: Effect.Effect<A, E>) =>
  Effect.mapError(effect, (error) =>
    SqlError.isSqlError(error)
      ? knowingOwnTables(names, translate(operation, error))
      : (error as Exclude<E, SqlError.SqlError>)
  )

/** A table of the collector that is missing is not a mistake in CATALOG_* settings: nothing was installed yet. */
const knowingOwnTables = ({ collectorSchema }: CatalogNames, error: DatabaseError): DatabaseError =>
  error.sqlState === "42P01" && error.detail.startsWith(`relation "${collectorSchema}.`)
    ? new DatabaseError({
        operation: error.operation,
        reason: "NotInstalled",
        detail: `the collector's tables are not in this database (${error.detail}); run artifact-gc migrate`,
        cause: error.cause
      })
    : error

/**
 * Runs `effect` in a transaction in which rows are found by index, and ranges of indexes are merged or
 * hashed, under any statistics. With missing or old statistics the planner reads whole tables for each
 * slice. With statistics by which a slice holds almost nothing, it compares all of its blobs with all of
 * its references, which for 10,000 takes longer than a statement may (test/database/locks/ScanPlans.ts). A
 * statement without another plan keeps its plan at a cost that would have it compiled, hence `jit`.
 */
export const byIndex = <A, E>(
  db: Sql,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E | SqlError.SqlError> =>
  db.transaction(effect, {
    enable_seqscan: "off",
    enable_bitmapscan: "off",
    enable_nestloop: "off",
    jit: "off"
  })

/** Returns an instant as a parameter. */
export const instant = (millis: number): Date => new Date(millis)

/** Returns a timestamp column's value, to the nearest millisecond. */
export const millis = (value: Date): number => value.getTime()

/** Returns the value of a timestamp column that may be NULL. */
export const millisOrNull = (value: Date | null): number | null => (value === null ? null : millis(value))

/** Returns the last of the items with each name: a statement must not change a row twice. */
export const lastOf = <A>(items: ReadonlyArray<A>, name: (item: A) => string): ReadonlyArray<A> => [
  ...new Map(items.map((item) => [name(item), item])).values()
]
