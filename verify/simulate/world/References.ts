/**
 * References of the world's processes: rows of the host's tables, which they write in `commit` of the blob store
 * or in transactions of their own.
 */
import { Context, Effect, type Stream } from "effect"
import {
  type Artifacts,
  inMemory,
  make,
  type NewReference,
  type Reference,
  referenceId
} from "../../../src/artifacts/Artifacts.ts"
import { BlobStore, type PutOptions, type Upload } from "../../../src/blobs/BlobStore.ts"
import { BlobDatabase } from "../../../src/database/Database.ts"
import { hostTables } from "../../../src/database/Memory.ts"
import { DatabaseError } from "../../../src/domain/DatabaseError.ts"
import { simulated } from "../../../src/testing/simulation/Simulation.ts"
import type { Actor } from "./Actor.ts"
import { send } from "./Verb.ts"

/** True writes references without a look at the blob, as a mutation. */
export const WithoutForeignKey = Context.Reference<boolean>("verify/WithoutForeignKey", {
  defaultValue: () => false
})

/** Returns the references of a process. Removals wait in the network, like verbs. */
export const referencesOf = ({
  process,
  world
}: Actor): Effect.Effect<Artifacts["Service"], never, BlobDatabase> =>
  Effect.map(BlobDatabase, (database) => {
    const { durability, network, oracle, rows } = world
    const statements = inMemory(hostTables(rows))
    const add = (references: ReadonlyArray<Reference>) =>
      Effect.flatMap(WithoutForeignKey, (isUnchecked) => {
        oracle.writing(references)
        if (!isUnchecked) return statements.add(references)
        for (const reference of references) rows.references.set(referenceId(reference), reference)
        return Effect.void
      })
    const remove = (references: ReadonlyArray<Reference>) => {
      const verb = "host.unreference"
      const unknown = new DatabaseError({ operation: verb, reason: "Unavailable", detail: simulated })
      return Effect.contextWith((sender: Context.Context<never>) =>
        send(
          network,
          process,
          verb,
          [references],
          durability.run(verb, Effect.provideContext(statements.remove(references), sender)),
          unknown
        )
      )
    }
    return make(database, { ...statements, add, remove })
  })

/** Stores one blob with references, or with a pin if there are none. */
export const put = Effect.fnUntraced(function* (
  actor: Actor,
  body: Stream.Stream<Uint8Array>,
  references: ReadonlyArray<NewReference>,
  options: PutOptions
) {
  const store = yield* BlobStore
  const { add } = yield* referencesOf(actor)
  if (references.length === 0) return yield* store.put(body, options)
  return yield* store.put(body, {
    ...options,
    commit: ({ digest }) => add(references.map((name): Reference => ({ ...name, digest })))
  })
})

/** Stores several blobs with references, in one call. */
export const putAll = Effect.fnUntraced(function* (
  actor: Actor,
  uploads: ReadonlyArray<Upload<never, never>>,
  references: ReadonlyArray<Reference>
) {
  const store = yield* BlobStore
  const { add } = yield* referencesOf(actor)
  return yield* store.putAll(uploads, { commit: () => add(references) })
})
