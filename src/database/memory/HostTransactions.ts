/**
 * Transactions that a host has open, in memory.
 *
 * A verb that joins one sees the transaction's own changes, and no other caller sees them before the commit. A
 * rollback removes them. Until the end, the rows that it changed are locked, and a purge skips the blobs that
 * its references and pins need. All other verbs leave the transaction and commit by themselves, as in
 * PostgreSQL (src/database/postgres/Sql.ts).
 *
 * A verb that meets a locked row skips it where PostgreSQL's statement has SKIP LOCKED, and otherwise fails
 * with `Contended`, as a wait that reaches `lock_timeout` does. It waits for a transaction in which a verb
 * runs statements of a host (HostStatements.ts), because that one ends by itself.
 */
import { Context, Effect, Exit, Latch, Option } from "effect"
import { DatabaseError } from "../../domain/DatabaseError.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { Changes, HostRow, OpenTransaction, State } from "./State.ts"
import { record, tableOf } from "./TableChanges.ts"

/** The transaction that the calling fiber has open. */
export class HostTransaction extends Context.Service<HostTransaction, OpenTransaction>()(
  "artifact-gc/database/memory/HostTransaction"
) {}

/** Begins a transaction. Provide it as {@link HostTransaction} to the verbs that run inside. */
export const begin = (state: State, isVerbs = false): OpenTransaction => {
  const transaction: OpenTransaction = {
    changes: new Map(),
    candidates: [],
    kept: new Set(),
    isAborted: false,
    isVerbs,
    ended: Latch.makeUnsafe(false),
    waitsFor: null
  }
  state.transactions.add(transaction)
  return transaction
}

/** Commits. Fails if the transaction has ended, for example because the server crashed. */
export const commit = (state: State, transaction: OpenTransaction): Effect.Effect<void, DatabaseError> =>
  Effect.suspend(() => {
    if (!state.transactions.delete(transaction)) return Effect.fail(hasEnded("commit"))
    if (transaction.isAborted) {
      transaction.ended.openUnsafe()
      return Effect.fail(aborted("commit"))
    }
    apply(state, transaction)
    state.candidates.push(...transaction.candidates)
    transaction.ended.openUnsafe()
    return Effect.void
  })

/** Rolls back. Does nothing if the transaction has ended. */
export const rollback = (state: State, transaction: OpenTransaction): Effect.Effect<void> =>
  Effect.sync(() => {
    state.transactions.delete(transaction)
    transaction.ended.openUnsafe()
  })

/** Runs `effect` in a transaction, which commits if it succeeds and otherwise rolls back. */
export const withTransaction = <A, E, R>(state: State, effect: Effect.Effect<A, E, R>, isVerbs = false) =>
  Effect.acquireUseRelease(
    Effect.sync(() => begin(state, isVerbs)),
    (transaction) => Effect.provideService(effect, HostTransaction, transaction),
    (transaction, exit) => (Exit.isSuccess(exit) ? commit(state, transaction) : rollback(state, transaction))
  )

/** Runs `effect` in a savepoint of the transaction that the caller has open, or in a transaction of its own. */
export const nested = <A, E, R>(
  state: State,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | DatabaseError, R> =>
  Effect.flatMap(
    Effect.serviceOption(HostTransaction),
    (open): Effect.Effect<A, E | DatabaseError, R> =>
      Option.isNone(open)
        ? (withTransaction(state, effect) as Effect.Effect<A, E | DatabaseError, R>)
        : Effect.suspend(() => Effect.onError(effect, savepoint(open.value)))
  )

/** Notes what the transaction has done so far, and returns how to undo the rest. */
const savepoint = (transaction: OpenTransaction) => {
  const changes = [...transaction.changes].map(([table, rows]) => [table, new Map(rows)] as const)
  const { candidates, kept } = transaction
  const [queued, before] = [candidates.length, [...kept]]
  return () =>
    Effect.sync(() => {
      transaction.changes.clear()
      for (const [table, rows] of changes) transaction.changes.set(table, rows)
      candidates.length = queued
      kept.clear()
      for (const digest of before) kept.add(digest)
      transaction.isAborted = false
    })
}

/** Runs `effect` outside the transaction that the caller has open, as another caller sees the tables. */
export const outside = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(
    effect,
    (context: Context.Context<R>) =>
      Context.omit(HostTransaction)(context as Context.Context<R | HostTransaction>) as Context.Context<R>
  )

/** Returns the digests of blobs that an open transaction keeps from a purge. */
export const lockedDigests = (state: State): ReadonlySet<Digest> => {
  const locked = new Set<Digest>()
  for (const { changes, kept } of state.transactions) {
    for (const digest of kept) locked.add(digest)
    for (const digest of changes.get("blobs")?.keys() ?? []) locked.add(digest as Digest)
    for (const table of ["references", "pins"])
      for (const row of changes.get(table)?.values() ?? []) {
        const digest = (row as HostRow | undefined)?.digest ?? null
        if (digest !== null) locked.add(digest)
      }
  }
  return locked
}

/** Verbs whose statements skip rows that another transaction holds, and the table of these rows. */
const skips: Readonly<Record<string, keyof State>> = {
  record: "orphans",
  settle: "orphans",
  purge: "orphans",
  review: "orphans",
  expirePins: "pins",
  reapIntents: "intents"
}

/** Whether a call of a verb joins the caller's transaction. */
export type Joins = (verb: string, args: ReadonlyArray<never>) => boolean

/** Returns the verbs of `group` with what open transactions mean for them. By default no verb joins one. */
export const transacting = <Group extends object>(
  state: State,
  group: Group,
  joins: Joins = () => false
): Group => {
  const entries = Object.entries(group).map(([name, verb]) => {
    if (typeof verb !== "function") return [name, verb]
    return [
      name,
      (...args: ReadonlyArray<never>) =>
        Effect.contextWith((context) => {
          const own = Context.getOrUndefined(context, HostTransaction) ?? null
          if (own !== null && (joins(name, args) || state.everyVerbJoins))
            return runInside(state, own, name, verb(...args))
          return state.transactions.size === 0 ? verb(...args) : runBeside(state, own, name, verb(...args))
        })
    ]
  })
  return Object.fromEntries(entries) as Group
}

/** Runs a verb in the transaction, and takes its changes out of the tables again. */
const runInside = <A, E>(
  state: State,
  transaction: OpenTransaction,
  name: string,
  verb: Effect.Effect<A, E>
): Effect.Effect<A, E | DatabaseError> =>
  Effect.suspend((): Effect.Effect<A, E | DatabaseError> => {
    if (!state.transactions.has(transaction)) return Effect.fail(hasEnded(name))
    const recording = record(state)
    apply(state, transaction)
    const queued = state.candidates.length
    const exit = Effect.runSyncExit(verb)
    recording.end()
    const changed = recording.changes()
    const holders = holdersOf(state, changed, transaction)
    recording.restore()
    const candidates = state.candidates.splice(queued)
    if (Exit.isFailure(exit)) return exit
    if (holders.length > 0)
      return afterEnd(transaction, holders, name, () => runInside(state, transaction, name, verb))
    transaction.changes.clear()
    for (const [table, rows] of changed) transaction.changes.set(table, rows)
    transaction.candidates.push(...candidates)
    if (name === "adopt") for (const digest of exit.value as ReadonlySet<Digest>) transaction.kept.add(digest)
    return exit
  })

/**
 * Runs a verb after the holders of its rows have ended, if they end by themselves. Otherwise, or if one of them
 * waits for `own`, fails with `Contended`.
 */
const afterEnd = <A, E>(
  own: OpenTransaction | null,
  holders: ReadonlyArray<OpenTransaction>,
  name: string,
  again: () => Effect.Effect<A, E | DatabaseError>
): Effect.Effect<A, E | DatabaseError> => {
  const [holder] = holders
  if (holder === undefined || !holders.every(({ isVerbs }) => isVerbs) || isAwaitedBy(own, holder))
    return Effect.fail(contended(name))
  if (own !== null) own.waitsFor = holder
  const wait = Effect.ensuring(
    holder.ended.await,
    Effect.sync(() => {
      if (own !== null) own.waitsFor = null
    })
  )
  return Effect.andThen(wait, Effect.suspend(again))
}

/** Returns whether `holder` is `own`, or waits for it, at any distance. */
const isAwaitedBy = (own: OpenTransaction | null, holder: OpenTransaction | null): boolean =>
  own !== null && holder !== null && (holder === own || isAwaitedBy(own, holder.waitsFor))

/** Runs a verb that commits by itself while others have transactions open. */
const runBeside = <A, E>(
  state: State,
  own: OpenTransaction | null,
  name: string,
  verb: Effect.Effect<A, E>
): Effect.Effect<A, E | DatabaseError> =>
  Effect.suspend((): Effect.Effect<A, E | DatabaseError> => {
    const recording = record(state)
    const candidates = [...state.candidates]
    const skipped = skips[name]
    const exit = skipped === undefined ? Effect.runSyncExit(verb) : runWithoutLocked(state, skipped, verb)
    recording.end()
    const holders = holdersOf(state, recording.changes())
    if (holders.length === 0) return exit
    recording.restore()
    state.candidates.splice(0, state.candidates.length, ...candidates)
    return afterEnd(own, holders, name, () => runBeside(state, own, name, verb))
  })

const apply = (state: State, { changes }: OpenTransaction): void => {
  for (const [name, rows] of changes) {
    const table = tableOf(state, name)
    for (const [key, row] of rows)
      if (row === undefined) table?.delete(key)
      else table?.set(key, row)
  }
}

/** Returns the open transactions, apart from `own`, that hold one of the rows. */
const holdersOf = (
  { transactions }: State,
  changed: ReadonlyMap<string, Changes>,
  own: OpenTransaction | null = null
): ReadonlyArray<OpenTransaction> =>
  [...transactions].filter(
    (transaction) =>
      transaction !== own &&
      [...changed].some(([table, rows]) => {
        const held = transaction.changes.get(table)
        return held !== undefined && [...rows.keys()].some((key) => held.has(key))
      })
  )

/** Runs a verb to which the locked rows of a table are invisible. */
const runWithoutLocked = <A, E>(state: State, table: keyof State, verb: Effect.Effect<A, E>) => {
  const rows = state[table] as Map<unknown, unknown>
  const locked = [...state.transactions].flatMap(({ changes }) => [...(changes.get(table)?.keys() ?? [])])
  const hidden = locked.flatMap((key) => (rows.has(key) ? [[key, rows.get(key)] as const] : []))
  for (const [key] of hidden) rows.delete(key)
  const exit = Effect.runSyncExit(verb)
  for (const key of locked) rows.delete(key)
  for (const [key, row] of hidden) rows.set(key, row)
  return exit
}

const hasEnded = (operation: string): DatabaseError =>
  new DatabaseError({
    operation,
    reason: "Unavailable",
    detail: "the transaction has ended, and its connection with it"
  })

/** The failure of a statement after another one failed, and of the commit of both. */
export const aborted = (operation: string): DatabaseError =>
  new DatabaseError({
    operation,
    reason: "Unknown",
    detail: "an earlier statement of the transaction failed (SQLSTATE 25P02)",
    sqlState: "25P02"
  })

const contended = (operation: string): DatabaseError =>
  new DatabaseError({ operation, reason: "Contended", detail: "another transaction holds a row" })
