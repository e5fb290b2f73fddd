/**
 * Signals: the first lets the current batch finish within a deadline, the second ends the process at once.
 */
import { Context, Deferred, Duration, Effect, Fiber } from "effect"
import * as Text from "./Text.ts"

/**
 * Exit code after a graceful end by a signal. It is a mutable cell: the command sets it, and src/main.ts
 * exits.
 */
export class SignalExit extends Context.Reference<{ code: number }>("artifact-gc/cli/SignalExit", {
  defaultValue: () => ({ code: 130 })
}) {}

/** Time after the deadline for work that cannot be interrupted. Then the process exits regardless. */
const lastResortMillis = 2000

/** Time after the deadline for work that keeps the deadline by itself, as a collector does. */
const patience = Duration.millis(500)

/**
 * Runs `work(stop)` in a fibre of its own. SIGINT and SIGTERM interrupt the caller, and `stop` completes.
 * `work` has until `deadline` to end by itself, and is interrupted then. `underWay` names the work in log
 * messages.
 */
export const graceful = <A, E, R>(
  deadline: Duration.Duration,
  work: (stop: Effect.Effect<void>) => Effect.Effect<A, E, R>,
  underWay = "the current batch"
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const stop = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkDetach(work(Deferred.await(stop)))
    const drain = Effect.gen(function* () {
      yield* Effect.sync(() =>
        endAtOnceOn(["SIGINT", "SIGTERM"], Duration.toMillis(deadline) + lastResortMillis)
      )
      yield* Effect.logInfo(
        `Stopping: finishing ${underWay} within ${Text.span(Duration.toMillis(deadline))}. A second signal ends the process at once.`
      )
      yield* Deferred.succeed(stop, undefined)
      const ended = yield* Effect.timeoutOption(Fiber.await(fiber), Duration.sum(deadline, patience))
      if (ended._tag === "Some") return yield* Effect.logInfo("Stopped.")
      yield* Effect.logWarning(
        `The deadline has passed: interrupting ${underWay}. Keys that were being deleted are retried after their lease ends.`
      )
      yield* Fiber.interrupt(fiber)
    })
    return yield* Effect.onInterrupt(Fiber.join(fiber), () => drain)
  })

const endAtOnceOn = (signals: ReadonlyArray<NodeJS.Signals>, lastResort: number): void => {
  for (const signal of signals) process.on(signal, () => process.exit(130))
  setTimeout(() => process.exit(1), lastResort).unref()
}
