/** Values that cost a scan of the catalogue: computed when a page asks, seldom, in the background, one at a time. */
import { Clock, Deferred, Duration, Effect, Exit, Ref, type Scope } from "effect"
import type { Slow } from "./Facts.ts"

/** How often, and for how long a page waits. */
export interface SeldomOptions {
  /**
   * A value is computed again at the first question after so long at most, and so is a failure. A value that took little is
   * computed sooner: after 200 times as long, and 10 seconds at least.
   */
  readonly every: Duration.Duration
  /** How long a question waits for the computation that it began. It then shows the last value. */
  readonly patience: Duration.Duration
}

/** A computation costs half a percent of the time, however often browsers ask. */
const restFactor = 200
/** A page that loads itself again does so every 30 seconds. */
const restMillisMin = 10_000

interface Held<A> {
  readonly slow: Slow<A>
  /** From when on a question begins a computation. */
  readonly dueAt: number
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
  const held = yield* Ref.make<Held<A>>({ slow: { _tag: "Pending" }, dueAt: 0, running: null })

  const run = Effect.fnUntraced(function* (begunAt: number, done: Deferred.Deferred<void>) {
    const exit = yield* Effect.exit(compute)
    const at = yield* Clock.currentTimeMillis
    if (Exit.isFailure(exit)) {
      yield* Effect.logWarning(
        `${what} could not be read, so the status page shows an older value or none. A request after ${Duration.format(every)} tries again. Check the cause if it repeats.`,
        exit.cause
      )
    }
    const longest = Duration.toMillis(every)
    yield* Ref.update(held, ({ slow }): Held<A> => {
      if (Exit.isSuccess(exit)) {
        const rest = Math.min(longest, Math.max(restMillisMin, restFactor * (at - begunAt)))
        return { slow: { _tag: "Known", at, value: exit.value }, dueAt: begunAt + rest, running: null }
      }
      const retryAt = begunAt + longest
      return {
        slow: slow._tag === "Known" ? slow : { _tag: "Failed", retryAt },
        dueAt: retryAt,
        running: null
      }
    })
    yield* Deferred.succeed(done, undefined)
  })

  return Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const fresh = yield* Deferred.make<void>()
    const begun = yield* Ref.modify(held, (state): readonly [Deferred.Deferred<void> | null, Held<A>] => {
      return state.running === null && now >= state.dueAt
        ? [fresh, { ...state, running: fresh }]
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
