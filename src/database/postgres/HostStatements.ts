/**
 * Statements of the host in the transaction of a verb (docs/decisions/0026-commit.md).
 *
 * A transaction whose COMMIT got no answer may have been committed. Verbs of the collector may be repeated all
 * the same, but the host's statements would be committed twice. So the server is asked whether the transaction
 * was committed.
 */
import { Clock, Effect, Schedule } from "effect"
import type { SqlError } from "effect/sql"
import { DatabaseError } from "../../domain/DatabaseError.ts"
import type { HostStatements } from "../Database.ts"
import { sqlState } from "./Errors.ts"
import { HostFailed } from "./HostFailed.ts"
import { serverStart, type TransactionId } from "./Session.ts"
import type { Sql } from "./Sql.ts"

/** Runs the host's statements in the verb's transaction. */
export type RunHost<Settled> = (settled: Settled) => Effect.Effect<void, SqlError.SqlError>

/** Runs nothing, for verbs without statements of the host. */
export const noHost: RunHost<unknown> = () => Effect.void

/** Gives the statements the caller's clock. Verbs run on the process's own. */
export const onCallersClock = <Options extends HostStatements<never, unknown>>(
  options: Options | undefined
): Effect.Effect<Options | undefined> =>
  Effect.map(Clock.Clock, (clock) => {
    const commit = options?.commit
    return commit === undefined
      ? options
      : {
          ...(options as Options),
          commit: (settled: never) => Effect.provideService(commit(settled), Clock.Clock, clock)
        }
  })

/**
 * Runs `transaction`, which runs the host's statements last. They are committed at most once, although the
 * verb may be tried again.
 */
export const withHost = <Settled, A, E>(
  db: Sql,
  { commit }: HostStatements<Settled, E>,
  transaction: (host: RunHost<Settled>) => Effect.Effect<A, SqlError.SqlError>
): Effect.Effect<A, SqlError.SqlError | DatabaseError> => {
  if (commit === undefined) return db.transaction(transaction(noHost))
  return Effect.suspend(() => {
    let answer: { readonly value: A; readonly id: TransactionId } | null = null
    let id: TransactionId | null = null
    const host = (settled: Settled) => {
      const statements = Effect.mapError(
        Effect.suspend(() => commit(settled)),
        (error) => new HostFailed(error)
      )
      return lend(db, statements, (lent) => {
        id = lent
      })
    }
    const run = Effect.tap(transaction(host), (value) =>
      Effect.sync(() => {
        if (id !== null) answer = { value, id }
      })
    )
    return Effect.catch(db.lendable(run), (error) =>
      answer === null ? Effect.fail(error) : settle(db, error, answer)
    )
  })
}

/** Hides the failure `HostFailed` from the types of the verbs, which pass it on. */
const lend = (
  db: Sql,
  statements: Effect.Effect<unknown, HostFailed<unknown>>,
  lent: (id: TransactionId) => void
): Effect.Effect<void, SqlError.SqlError> =>
  db.lending(statements).pipe(
    Effect.map(lent),
    Effect.mapError((error) =>
      error instanceof HostFailed || sqlState(error) !== "25P02" ? error : new HostFailed(caught(error))
    )
  ) as Effect.Effect<void, SqlError.SqlError>

const caught = (error: SqlError.SqlError): DatabaseError =>
  new DatabaseError({
    operation: "commit",
    reason: "Unknown",
    detail: "a statement of commit failed, and commit caught its failure (SQLSTATE 25P02)",
    sqlState: "25P02",
    advice:
      "PostgreSQL cannot commit the transaction after that, and nothing was stored. Let commit fail with the statement's error, or run a statement that may fail in sql.withTransaction, which is a savepoint there.",
    cause: error
  })

/** Decides a transaction whose COMMIT failed: by its answer if it was committed, otherwise by `error`. */
const settle = <A, E>(
  db: Sql,
  error: E,
  { id, value }: { readonly value: A; readonly id: TransactionId }
): Effect.Effect<A, E> =>
  Effect.flatMap(statusOf(db, id), (status) =>
    status === "committed"
      ? Effect.succeed(value)
      : status === "aborted"
        ? Effect.fail(error)
        : // Not tried again: the statements could be committed twice.
          (Effect.fail(new HostFailed(unsettled(error), false)) as unknown as Effect.Effect<never, E>)
  )

type Status = "committed" | "aborted" | "unknown"

/** Asks the server what became of a transaction. It is `unknown` if the server cannot tell, or is another. */
const statusOf = (db: Sql, { serverStart: start, xid }: TransactionId): Effect.Effect<Status> => {
  const { raw, sql } = db
  return sql<{ status: string | null; server_start: string }>`
    SELECT pg_xact_status(${xid}::xid8) AS status, ${raw(serverStart)} AS server_start`.pipe(
    Effect.flatMap(([row]) => {
      if (row === undefined || row.server_start !== start) return Effect.succeed<Status>("unknown")
      const { status } = row
      if (status === "in progress") return Effect.fail("in progress")
      return Effect.succeed<Status>(status === "committed" || status === "aborted" ? status : "unknown")
    }),
    Effect.retry(patience),
    Effect.orElseSucceed((): Status => "unknown")
  )
}

/** The server needs a moment to notice a connection that was lost, and to end its transaction. */
const patience = Schedule.spaced("200 millis").pipe(Schedule.upTo({ duration: "10 seconds" }))

const unsettled = (error: unknown): DatabaseError =>
  new DatabaseError({
    operation: "commit",
    reason: "Unavailable",
    detail: "the server did not answer COMMIT, and cannot say whether the transaction was committed",
    advice:
      "Either everything was stored, with the rows of commit, or nothing. Look for these rows, and put the bytes again if they are missing.",
    cause: error
  })
