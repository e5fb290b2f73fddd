/** What a member of an own store got wrong, by name. */
import { Effect } from "effect"
import { StorageError } from "../../domain/StorageError.ts"
import type { StoredObject } from "../Storage.ts"

const next =
  "The answer was not used. Correct the store that Storage.layerFrom was given, and run the cases of StorageContract (artifact-gc/testing) on it."

/** Returns the failure of a member that broke its contract. `what` names the member. */
export const misbehaved = (
  operation: StorageError["operation"],
  subject: string,
  what: string
): StorageError => new StorageError({ operation, subject, reason: "Misbehaved", detail: what, next })

/** Fails unless size and time are numbers that a store can mean. */
export const checkedInfo = (
  operation: StorageError["operation"],
  { key, modifiedAt, sizeBytes }: StoredObject
): Effect.Effect<StoredObject, StorageError> => {
  const member = operation === "list" ? "list" : "head"
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    return Effect.fail(
      misbehaved(operation, key, `${member} gave the size ${String(sizeBytes)}, which is no number of bytes`)
    )
  }
  return Number.isFinite(modifiedAt)
    ? Effect.succeed({ key, sizeBytes, modifiedAt })
    : Effect.fail(
        misbehaved(
          operation,
          key,
          `${member} gave the time ${String(modifiedAt)}, which is no number of milliseconds since the epoch`
        )
      )
}
