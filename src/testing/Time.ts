/**
 * Lets time pass in a test, and forked work with it.
 *
 * `TestClock.adjust` wakes what sleeps, and waits for what it woke, for one second of real time. It does not wait for a
 * fibre that was forked and has not run yet, nor for a fibre that waits for a disk or a server: the clock then runs away
 * from it. {@link pass} stops at each sleep, and waits for all of them.
 */
import { Clock, Deferred, Duration, Effect, Fiber, References, Scheduler } from "effect"
import { TestClock } from "effect/testing"
import type { Calls } from "./time/Calls.ts"
import { gated } from "./time/GatedScheduler.ts"
import { type RestOptions, whenAtRest } from "./time/Rest.ts"

export { type Calls, type CallsOptions, calls } from "./time/Calls.ts"

/** How time passes. */
export interface PassOptions {
  /** Calls to wait for, where a service reaches a server. Default: none. */
  readonly calls?: Calls | undefined
  /**
   * Real time that the test may run between two sleeps without rest, or that a watched call may take, before the test dies
   * and names what it waited for. Default 10 seconds.
   */
  readonly patience?: Duration.Input | undefined
}

const defaultPatience = Duration.seconds(10)

/**
 * Moves the `TestClock` by `duration`, and returns when all that became due has come to its end or sleeps again.
 *
 * ```ts
 * yield* Effect.forkChild(sweep.once())
 * yield* Time.pass("365 days")
 * ```
 *
 * The clock moves from one sleep to the next. At each it stands still until no fibre is about to run and no file is being
 * read or written, however long that takes. So no sweep is overtaken, and its report has the times at which it slept.
 *
 * It cannot see that a server is at work. Wrap the services that reach one with {@link calls}, innermost: a call that
 * sleeps by the test's clock would never end. It cannot see threads and timers of the process either.
 *
 * Dies if fibres never sleep, and names them.
 */
export const pass = Effect.fnUntraced(function* (duration: Duration.Input, options: PassOptions = {}) {
  const rest = yield* restOf(options)
  const moving = TestClock.adjust(duration).pipe(
    // It warns of fibres that it does not wait for, and the gate does.
    Effect.provideService(References.CurrentLoggers, new Set())
  )
  const context = yield* Effect.context()
  const failed = yield* Deferred.make<never>()
  const gate = gated(rest, (reason) => Deferred.doneUnsafe(failed, died(rest, reason)))
  const fiber = Effect.runForkWith(context)(moving, { scheduler: gate.scheduler })
  const stopped = Effect.suspend(() => {
    fiber.interruptUnsafe()
    gate.open()
    return Fiber.await(fiber)
  })
  yield* Effect.ensuring(Effect.raceFirst(Fiber.join(fiber), Deferred.await(failed)), stopped)
})

/** Waits, without moving the clock, until everything that can run has come to its end or sleeps. */
export const settle = Effect.fnUntraced(function* (options: PassOptions = {}) {
  const rest = yield* restOf(options)
  yield* Effect.callback<void>((resume) => {
    const withdraw = whenAtRest(rest, {
      atRest: () => resume(Effect.void),
      gaveUp: (reason) => resume(died(rest, reason))
    })
    return Effect.sync(withdraw)
  })
})

interface Rest extends RestOptions {
  readonly clock: Clock.Clock
}

const restOf = ({ calls, patience = defaultPatience }: PassOptions) =>
  Effect.map(
    Effect.all([Scheduler.Scheduler, Clock.Clock]),
    ([scheduler, clock]): Rest => ({
      calls: calls ?? null,
      patience: Duration.toMillis(Duration.fromInputUnsafe(patience)),
      scheduler,
      clock
    })
  )

const died = ({ clock, patience }: Rest, reason: string) =>
  Effect.die(
    new Error(
      `Time.pass stopped at ${new Date(clock.currentTimeMillisUnsafe()).toISOString()}: it waited ${patience} ms of real time ${reason}`
    )
  )
