/**
 * Whether a listing advances. Each request of a listing continues where the answer before says. A store, or a
 * proxy with a cache, that repeats itself would be followed for ever.
 */
import { Effect } from "effect"
import type { StorageError } from "../../domain/StorageError.ts"
import { misbehaved } from "./Failure.ts"

/**
 * The most answers in a row that list nothing and say that there is more. A store may give one for a thousand
 * deleted objects that it passes over, so a million of them are still no failure.
 */
export const idleMax = 1000

/** Holds what a listing remembers of its answers. It belongs to one run of one listing. */
export interface Advance {
  readonly operation: StorageError["operation"]
  /** The object, prefix or bucket that a failure names. */
  readonly subject: string
  /** Where the answers continued. */
  readonly places: Set<string>
  /** How many answers in a row listed nothing. */
  idle: number
}

/** Returns the memory of a listing before its first answer. */
export const begin = (operation: StorageError["operation"], subject: string): Advance => ({
  operation,
  subject,
  places: new Set(),
  idle: 0
})

/**
 * Fails with `Misbehaved` if an earlier answer continued at `place` too, or if {@link idleMax} answers in a
 * row listed nothing. An answer that `forgets` proves by its order
 * that it repeats no earlier one.
 */
export const step = Effect.fnUntraced(function* (
  advance: Advance,
  place: string,
  { forgets, listed }: { readonly forgets: boolean; readonly listed: number }
): Effect.fn.Return<void, StorageError> {
  const stuck = (why: string) =>
    misbehaved(advance.operation, advance.subject, `the listing does not advance: ${why}`)
  if (advance.places.has(place)) {
    return yield* stuck(`the store says for the second time that more follows at ${JSON.stringify(place)}`)
  }
  if (forgets) advance.places.clear()
  advance.places.add(place)
  advance.idle = listed > 0 ? 0 : advance.idle + 1
  if (advance.idle >= idleMax) {
    return yield* stuck(`${idleMax} answers in a row listed nothing and said that more follows`)
  }
})

/** Fails with `Misbehaved` if an answer does not say whether it is the last one. */
export const checkTruncation = (
  { operation, subject }: Pick<Advance, "operation" | "subject">,
  { IsTruncated }: { readonly IsTruncated?: boolean | undefined }
): Effect.Effect<void, StorageError> =>
  IsTruncated === undefined
    ? Effect.fail(
        misbehaved(operation, subject, "the listing does not say whether more follows (IsTruncated)")
      )
    : Effect.void
