/**
 * A host's own tables in memory, for tests of apps without PostgreSQL. A table has a primary key and a column
 * `digest` with a foreign key to blobs.
 */
import { Context, Effect, Option, Schema } from "effect"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import { Digest } from "../../domain/Digest.ts"
import { watching } from "./Candidates.ts"
import { aborted, HostTransaction, nested, transacting } from "./HostTransactions.ts"
import { type HostRow, hostRowId, hostRowsOf, type State } from "./State.ts"
import { isGuarded, isSuspect } from "./UnannouncedWriters.ts"

/** A table refused a row, as a constraint of PostgreSQL does. Nothing was changed. */
export class RowRefused extends Schema.TaggedError<RowRefused>()("RowRefused", {
  /** The table. */
  table: Schema.String,
  /** The row's id. */
  id: Schema.String,
  /**
   * `BlobUnknown`: the foreign key refers to no blob (SQLSTATE 23503). `Duplicate`: the id exists (23505).
   * `Suspect`: the blob's object is not verified yet (40001).
   */
  reason: Schema.Literals(["BlobUnknown", "Duplicate", "Suspect"]),
  /** The blob that the row refers to. */
  digest: Schema.NullOr(Digest)
}) {
  override get message(): string {
    const why = {
      BlobUnknown: `blob ${this.digest} does not exist. Put the bytes again`,
      Duplicate: "the id exists. Use upsert to replace the row",
      Suspect: `the object of blob ${this.digest} is not verified yet. Try again after the next sweep`
    }
    return `Table ${this.table} refused row ${this.id}: ${why[this.reason]}. Nothing was changed.`
  }
}

/** A row of a host's table, with its id. */
export interface HostTableRow extends HostRow {
  /** The primary key. */
  readonly id: string
}

interface Verbs {
  readonly insert: (table: string, row: HostTableRow) => Effect.Effect<void, RowRefused | DatabaseError>
  readonly upsert: (table: string, row: HostTableRow) => Effect.Effect<void, RowRefused | DatabaseError>
  readonly delete: (table: string, id: string) => Effect.Effect<boolean, DatabaseError>
  readonly get: (table: string, id: string) => Effect.Effect<Option.Option<HostTableRow>, DatabaseError>
  readonly rows: (table: string) => Effect.Effect<ReadonlyArray<HostTableRow>, DatabaseError>
}

/**
 * The host's own reference tables behind `MemoryDatabase.layer({ tables })`.
 *
 * A call takes part in the transaction that its caller has open: that of {@link HostTables.transaction}, or of
 * `commit` in `BlobStore.put`. Otherwise it is a transaction of its own. A table that was not declared is a
 * defect. Each call fails with `DatabaseError` `Contended` if another open transaction has changed the row.
 */
export class HostTables extends Context.Service<
  HostTables,
  {
    /** Inserts a row. Fails with `RowRefused` if the id exists, or if the blob does not exist. */
    readonly insert: Verbs["insert"]
    /** Inserts a row, or replaces the row with its id. Fails with `RowRefused` if the blob does not exist. */
    readonly upsert: Verbs["upsert"]
    /** Deletes a row, and returns whether it existed. */
    readonly delete: Verbs["delete"]
    /** Returns the row with this id, or none. */
    readonly get: Verbs["get"]
    /** Returns all rows of a table, in order of their ids. */
    readonly rows: Verbs["rows"]
    /**
     * Runs `effect` in a transaction, or in a savepoint of the one that is open. It commits if `effect` succeeds,
     * and otherwise rolls back. Calls of this service and the verbs of `BlobStore` that join a transaction take
     * part in it. After a failed call nothing else succeeds in a transaction, as in PostgreSQL.
     */
    readonly transaction: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | DatabaseError, R>
  }
>()("artifact-gc/database/memory/HostTables") {}

/** Returns the host's tables of `state`. */
export const hostTables = (state: State): HostTables["Service"] => ({
  ...aborting(transacting(state, watching(state, verbs(state)), () => true)),
  transaction: (effect) => nested(state, effect)
})

/**
 * Makes a failure the last of its transaction, as PostgreSQL does: a caller that catches it cannot commit.
 */
const aborting = (verbs: Verbs): Verbs => {
  const within = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | DatabaseError> =>
    Effect.flatMap(Effect.serviceOption(HostTransaction), (open): Effect.Effect<A, E | DatabaseError> => {
      if (Option.isNone(open)) return effect
      if (open.value.isAborted) return Effect.fail(aborted("host"))
      return Effect.tapError(effect, () =>
        Effect.sync(() => {
          open.value.isAborted = true
        })
      )
    })
  return {
    insert: (table, row) => within(verbs.insert(table, row)),
    upsert: (table, row) => within(verbs.upsert(table, row)),
    delete: (table, id) => within(verbs.delete(table, id)),
    get: (table, id) => within(verbs.get(table, id)),
    rows: (table) => within(verbs.rows(table))
  }
}

const verbs = (state: State): Verbs => ({
  insert: (table, row) =>
    Effect.suspend(() => {
      const key = keyOf(state, table, row.id)
      return state.references.has(key)
        ? Effect.fail(refused(table, row, "Duplicate"))
        : write(state, table, row)
    }),
  upsert: (table, row) => Effect.suspend(() => write(state, table, row)),
  delete: (table, id) => Effect.sync(() => state.references.delete(keyOf(state, table, id))),
  get: (table, id) =>
    Effect.sync(() =>
      Option.map(Option.fromUndefinedOr(state.references.get(keyOf(state, table, id))), (row) => ({
        ...row,
        id
      }))
    ),
  rows: (table) =>
    Effect.sync(() => {
      declared(state, table)
      return hostRowsOf(state, table)
        .map(([id, row]): HostTableRow => ({ ...row, id }))
        .sort((a, b) => (a.id < b.id ? -1 : 1))
    })
})

const write = (state: State, table: string, { id, ...row }: HostTableRow) => {
  const key = keyOf(state, table, id)
  const { digest } = row
  if (digest !== null && !state.blobs.has(digest))
    return Effect.fail(refused(table, { id, digest }, "BlobUnknown"))
  if (digest !== null && isGuarded(state) && isSuspect(state, digest))
    return Effect.fail(refused(table, { id, digest }, "Suspect"))
  state.references.set(key, { ...row, digest })
  state.referenced = true
  return Effect.void
}

const refused = (table: string, { id, digest }: HostTableRow, reason: RowRefused["reason"]) =>
  new RowRefused({ table, id, digest, reason })

const declared = (state: State, table: string): void => {
  if (!state.hostTables.has(table))
    throw new Error(
      `Table ${table} is not declared. Declare it: MemoryDatabase.layer({ tables: ["${table}"] })`
    )
}

const keyOf = (state: State, table: string, id: string): string => {
  declared(state, table)
  return hostRowId(table, id)
}
