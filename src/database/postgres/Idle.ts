/**
 * Verbs that find nothing in most sweeps. Each locks or writes, so it needs a transaction, which takes three round
 * trips more than a statement that reads.
 */
import { Effect } from "effect"

/**
 * Returns a verb that first asks whether there is anything for it, in one statement that only reads. The question
 * may say yes where the verb finds nothing. What is committed after the question waits for the next sweep, as if
 * the verb had run then. A verb that found something is asked again at once, because there may be more.
 */
export const unlessIdle = <Args extends ReadonlyArray<unknown>, A, E, E2>(
  verb: (...args: Args) => Effect.Effect<A, E2>,
  { isAny, nothing, found }: Question<NoInfer<Args>, NoInfer<A>, E>
): ((...args: Args) => Effect.Effect<A, E | E2>) => {
  let mayBeMore = false
  return (...args) =>
    Effect.suspend((): Effect.Effect<A, E | E2> => {
      const run = Effect.map(verb(...args), (answer) => {
        mayBeMore = found(answer)
        return answer
      })
      return mayBeMore
        ? run
        : Effect.flatMap(isAny(...args), (rows) => (rows.length === 0 ? Effect.succeed(nothing) : run))
    })
}

/** What is asked before a verb. */
export interface Question<Args extends ReadonlyArray<unknown>, A, E> {
  /** Returns rows if there may be something. */
  readonly isAny: (...args: Args) => Effect.Effect<ReadonlyArray<unknown>, E>
  /** The verb's answer if there is nothing. */
  readonly nothing: A
  /** Returns whether the verb's answer is another one. */
  readonly found: (answer: A) => boolean
}
