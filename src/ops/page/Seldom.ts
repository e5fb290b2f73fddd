/** Values that cost a scan of the catalogue: computed when a page asks, seldom, in the background, one at a time. */
import { Clock, Deferred, Duration, Effect, Exit, Ref, type Scope } from "effect"
import type { Slow } from "./Facts.ts"

/** How often, and for how long a page waits. */
export interface SeldomOptions {
  /** A value is computed again at the first question after so long, and so is a failure. */
  readonly every: Duration.Duration
  /** How long a question waits for the computation that it began. It then shows the last value. */
  readonly patience: Duration.Duration
}

interface Held<A> {
  readonly slow: Slow<A>
  /** When the last computation began; null before the first. */
  readonly begunAt: number | null
  /** Done when the computation is; null without one. */
  readonly running: Deferred.Deferred<void> | null
}

/**
 * Makes a question. It fails never, computes nothing until it is asked, and ends its computation with the scope. A failure is
 * logged, and the last value stays.
 */
export const make = Effect.fnUntraced(function* <A, E, R>(
  what: string,
  compute: Effect.Effect<A, E, R>,
  { every, patience }: SeldomOptions
): Effect.fn.Return<Effect.Effect<Slow<A>, never, R>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const held = yield* Ref.make<Held<A>>({ slow: { _tag: "Pending" }, begunAt: null, running: null })

  const run = Effect.fnUntraced(function* (begunAt: number, done: Deferred.Deferred<void>) {
    const exit = yield* Effect.exit(compute)
    const at = yield* Clock.currentTimeMillis
    if (Exit.isFailure(exit)) {
      yield* Effect.logWarning(
        `${what} could not be read, so the status page shows an older value or none. A request after ${Duration.format(every)} tries again. Check the cause if it repeats.`,
        exit.cause
      )
    }
    yield* Ref.update(held, ({ slow }): Held<A> => {
      const failed: Slow<A> =
        slow._tag === "Known" ? slow : { _tag: "Failed", retryAt: begunAt + Duration.toMillis(every) }
      return {
        slow: Exit.isSuccess(exit) ? { _tag: "Known", at, value: exit.value } : failed,
        begunAt,
        running: null
      }
    })
    yield* Deferred.succeed(done, undefined)
  })

  return Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const fresh = yield* Deferred.make<void>()
    const begun = yield* Ref.modify(held, (state): readonly [Deferred.Deferred<void> | null, Held<A>] => {
      const isDue = state.begunAt === null || now - state.begunAt >= Duration.toMillis(every)
      return state.running === null && isDue
        ? [fresh, { ...state, begunAt: now, running: fresh }]
        : [null, state]
    })
    if (begun !== null) {
      yield* Effect.forkIn(run(now, begun), scope)
    }
    const { running, slow } = yield* Ref.get(held)
    if (running !== null && slow._tag !== "Known") {
      yield* Effect.ignore(Effect.timeout(Deferred.await(running), patience))
    }
    return (yield* Ref.get(held)).slow
  })
})
