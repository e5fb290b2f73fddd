/**
 * The statements on `artifacts` and `local_files`, in PostgreSQL. Rows are locked in the order of their names, so
 * writers cannot deadlock.
 */
import { Clock, Effect } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as SqlError from "effect/sql/SqlError"
import { translate } from "../database/postgres/Errors.ts"
import { instant, lastOf, make, onProcessClock, qualified, type Sql } from "../database/postgres/Sql.ts"
import type { CatalogNames } from "../domain/CatalogNames.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { Artifact, LocalFile, Reference } from "./Reference.ts"

/** What the preset needs of its tables. */
export interface Statements {
  /** Adds references in the open transaction. The last of several with one name wins. */
  readonly add: (references: ReadonlyArray<Reference>) => Effect.Effect<void, DatabaseError>
  /** Removes references, and returns how many existed. Joins the open transaction. */
  readonly remove: (references: ReadonlyArray<Reference>) => Effect.Effect<number, DatabaseError>
  /** Whether the caller has a transaction open. */
  readonly isInTransaction: Effect.Effect<boolean>
  /** Runs `effect` in a savepoint of the transaction that is open. */
  readonly savepoint: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E | DatabaseError>
}

const isArtifact = (reference: Reference): reference is Artifact => reference._tag === "Artifact"
const isLocalFile = (reference: Reference): reference is LocalFile => reference._tag === "LocalFile"

const translated = <A, E>(operation: string, effect: Effect.Effect<A, E | SqlError.SqlError>) =>
  Effect.mapError(effect, (error) =>
    SqlError.isSqlError(error) ? translate(operation, error) : (error as Exclude<E, SqlError.SqlError>)
  )

/** Returns the statements on the client of the context. */
export const postgres = Effect.fnUntraced(function* (names: CatalogNames) {
  const client = yield* SqlClient.SqlClient
  const db = yield* make(names)
  return {
    // Statements of a host, in its transaction. Unprepared, because a pooler may stand between.
    add: (references) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        translated(
          "artifacts.add",
          Effect.forEach(inserts(client, names, now, references), (statement) => statement.unprepared, {
            discard: true
          })
        ).pipe(onProcessClock)
      ),
    remove: (references) =>
      db.joining(
        "artifacts.remove",
        db.transaction(
          Effect.map(
            Effect.forEach(deletes(db, references), (statement) => db.firing(statement)),
            (found) => found.reduce((sum, rows) => sum + rows.length, 0)
          )
        )
      ),
    isInTransaction: Effect.map(
      Effect.serviceOption(client.transactionService),
      ({ _tag }) => _tag === "Some"
    ),
    savepoint: (effect) => translated("artifacts.reference", client.withTransaction(effect))
  } satisfies Statements as Statements
})

const inserts = (
  sql: SqlClient.SqlClient,
  names: CatalogNames,
  now: number,
  references: ReadonlyArray<Reference>
) => {
  const at = instant(now)
  const table = (name: string) => sql.literal(qualified(names.schema, name))
  const artifacts = lastOf(references.filter(isArtifact), (r) => JSON.stringify([r.repository, r.name]))
  const files = lastOf(references.filter(isLocalFile), (r) => r.path)
  return [
    ...(artifacts.length === 0
      ? []
      : [
          sql`
            INSERT INTO ${table("artifacts")} (repository, name, digest, created_at)
            SELECT r, n, d, ${at}::timestamptz FROM unnest(${artifacts.map((a) => a.repository)}::text[],
              ${artifacts.map((a) => a.name)}::text[], ${artifacts.map((a) => a.digest)}::text[]) AS t (r, n, d)
            ORDER BY r, n
            ON CONFLICT (repository, name) DO UPDATE SET digest = EXCLUDED.digest, created_at = EXCLUDED.created_at`
        ]),
    ...(files.length === 0
      ? []
      : [
          sql`
            INSERT INTO ${table("local_files")} (path, digest, created_at)
            SELECT p, d, ${at}::timestamptz FROM unnest(${files.map((f) => f.path)}::text[],
              ${files.map((f) => f.digest)}::text[]) AS t (p, d)
            ORDER BY p
            ON CONFLICT (path) DO UPDATE SET digest = EXCLUDED.digest, created_at = EXCLUDED.created_at`
        ])
  ]
}

/** Deletes in the order in which `inserts` lock the rows. */
const deletes = ({ asHost, names, raw, sql }: Sql, references: ReadonlyArray<Reference>) => {
  const table = (name: string) => raw(qualified(names.schema, name))
  const artifacts = references.filter(isArtifact)
  const files = references.filter(isLocalFile)
  return [
    sql`
      DELETE FROM ${table("artifacts")} WHERE (repository, name) IN (
        SELECT a.repository, a.name FROM ${table("artifacts")} a
        JOIN unnest(${artifacts.map((r) => r.repository)}::text[], ${artifacts.map((r) => r.name)}::text[],
          ${artifacts.map((r) => r.digest)}::text[]) AS t (r, n, d)
          ON a.repository = t.r AND a.name = t.n AND a.digest = t.d
        ORDER BY 1, 2 FOR UPDATE OF a) AND ${asHost}
      RETURNING 1 AS gone`,
    sql`
      DELETE FROM ${table("local_files")} WHERE path IN (
        SELECT f.path FROM ${table("local_files")} f
        JOIN unnest(${files.map((r) => r.path)}::text[], ${files.map((r) => r.digest)}::text[]) AS t (p, d)
          ON f.path = t.p AND f.digest = t.d
        ORDER BY 1 FOR UPDATE OF f) AND ${asHost}
      RETURNING 1 AS gone`
  ]
}
