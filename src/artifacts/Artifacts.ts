/**
 * The catalogue of an artifact proxy, as a preset: beside `blobs` the tables `artifacts` and `local_files`, from
 * `migrate --create-catalog artifacts`. The demo, tests and benchmarks use it. It is a host like any other: all
 * that it does with its tables, an app does with its own.
 */
import { Clock, Context, Effect, Layer, Option } from "effect"
import type { SqlClient } from "effect/sql"
import { BlobUnknown } from "../blobs/errors.ts"
import { BlobDatabase } from "../database/Database.ts"
import { HostTables, HostTransaction, RowRefused } from "../database/Memory.ts"
import { type CatalogNames, defaultNames } from "../domain/CatalogNames.ts"
import { DatabaseError } from "../domain/DatabaseError.ts"
import type { Digest } from "../domain/Digest.ts"
import { keyOf, type Reference } from "./Reference.ts"
import { postgres, type Statements } from "./Statements.ts"

export {
  type Artifact,
  keyOf,
  type LocalFile,
  type NewReference,
  type Reference,
  referenceId,
  referencesOf,
  tables
} from "./Reference.ts"

/** Options of `Artifacts.reference`. */
export interface ReferenceOptions {
  /** Ids of pins that the references replace. Released in the same transaction; unknown ids are ignored. */
  readonly release?: ReadonlyArray<string> | undefined
}

/** Writes and removes references in `artifacts` and `local_files`. */
export class Artifacts extends Context.Service<
  Artifacts,
  {
    /**
     * Adds references in the transaction that is open, or in one of its own. For `commit` of `BlobStore.put`. Of
     * several with one name the last wins, and a row of that name is replaced.
     */
    readonly add: (references: ReadonlyArray<Reference>) => Effect.Effect<void, DatabaseError>
    /**
     * Adds references to live blobs, all or none. Fails with `BlobUnknown`, which names the blobs that are not
     * live. Takes part in a transaction that the caller has open. Repeating the call changes nothing.
     */
    readonly reference: (
      references: ReadonlyArray<Reference>,
      options?: ReferenceOptions
    ) => Effect.Effect<void, BlobUnknown | DatabaseError>
    /**
     * Removes references and returns how many existed. Blobs that lose their last reference become orphans.
     * Takes part in a transaction that the caller has open.
     */
    readonly unreference: (references: ReadonlyArray<Reference>) => Effect.Effect<number, DatabaseError>
  }
>()("artifact-gc/artifacts/Artifacts") {
  /** The tables in PostgreSQL, on the client of the database layer. */
  static readonly layer = (
    names: CatalogNames = defaultNames
  ): Layer.Layer<Artifacts, never, BlobDatabase | SqlClient.SqlClient> =>
    Layer.effect(
      Artifacts,
      Effect.gen(function* () {
        return make(yield* BlobDatabase, yield* postgres(names))
      })
    )

  /** The tables in memory, of `MemoryDatabase.layer({ tables: Artifacts.tables })`. */
  static readonly layerMemory: Layer.Layer<Artifacts, never, BlobDatabase | HostTables> = Layer.effect(
    Artifacts,
    Effect.gen(function* () {
      return make(yield* BlobDatabase, inMemory(yield* HostTables))
    })
  )
}

/** Returns the service on the writers' verbs and these statements. */
export const make = (database: BlobDatabase["Service"], statements: Statements): Artifacts["Service"] => ({
  add: statements.add,
  unreference: statements.remove,
  reference: Effect.fn("Artifacts.reference")(function* (references, { release = [] } = {}) {
    const now = yield* Clock.currentTimeMillis
    const digests = [...new Set(references.map(({ digest }) => digest))]
    const change = { release, allOrNothing: true }
    const add = (live: ReadonlySet<Digest>) =>
      live.size < digests.length ? Effect.void : statements.add(references)
    const live = yield* (yield* statements.isInTransaction)
      ? statements.savepoint(Effect.tap(database.adopt(now, digests, { ...change, joins: true }), add))
      : database.adopt(now, digests, { ...change, commit: add })
    const [first, ...others] = digests.filter((digest) => !live.has(digest))
    if (first !== undefined) return yield* new BlobUnknown({ digests: [first, ...others] })
  })
})

/** Returns the statements on tables in memory. */
export const inMemory = (tables: HostTables["Service"]): Statements => ({
  add: (references) =>
    Effect.forEach(
      references,
      (reference) => {
        const { id, table } = keyOf(reference)
        return Effect.mapError(tables.upsert(table, { ...reference, id }), asDatabaseError)
      },
      { discard: true }
    ),
  remove: (references) =>
    tables.transaction(
      Effect.gen(function* () {
        let removed = 0
        for (const reference of references) {
          const { id, table } = keyOf(reference)
          const row = yield* tables.get(table, id)
          if (Option.isSome(row) && row.value.digest === reference.digest)
            removed += (yield* tables.delete(table, id)) ? 1 : 0
        }
        return removed
      })
    ),
  isInTransaction: Effect.map(Effect.serviceOption(HostTransaction), Option.isSome),
  savepoint: tables.transaction
})

const asDatabaseError = (error: RowRefused | DatabaseError): DatabaseError =>
  error instanceof RowRefused
    ? new DatabaseError({
        operation: "artifacts.add",
        reason: error.reason === "Suspect" ? "Contended" : "StillReferenced",
        detail: error.message
      })
    : error
