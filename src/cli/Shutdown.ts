/** What a signal does: work ends after the batch in hand, within a deadline; a second signal ends at once. */
import { Context, Deferred, Duration, Effect, Fiber } from "effect"
import * as Text from "./Text.ts"

/** The exit code after a graceful end by a signal. A cell, because the command that knows it is not who exits. */
export class SignalExit extends Context.Reference<{ code: number }>("artifact-gc/cli/SignalExit", {
  defaultValue: () => ({ code: 130 })
}) {}

/** After the deadline, what cannot be interrupted gets this long before the process ends regardless. */
const lastResortMillis = 2000

/**
 * Runs `work(stop)` in a fibre of its own. When the caller is interrupted, which is what the runtime makes of SIGINT
 * and SIGTERM, `stop` completes; `work` has until `deadline` to end by itself and is interrupted then. `inHand` says what
 * it is that ends.
 */
export const graceful = <A, E, R>(
  deadline: Duration.Duration,
  work: (stop: Effect.Effect<void>) => Effect.Effect<A, E, R>,
  inHand = "the batch in hand"
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const stop = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkDetach(work(Deferred.await(stop)))
    const drain = Effect.gen(function* () {
      yield* Effect.sync(() =>
        endAtOnceOn(["SIGINT", "SIGTERM"], Duration.toMillis(deadline) + lastResortMillis)
      )
      yield* Effect.logInfo(
        `Stopping: finishing ${inHand}, within ${Text.span(Duration.toMillis(deadline))}. A second signal ends at once.`
      )
      yield* Deferred.succeed(stop, undefined)
      const ended = yield* Effect.timeoutOption(Fiber.await(fiber), deadline)
      if (ended._tag === "Some") return yield* Effect.logInfo("Stopped.")
      yield* Effect.logWarning(
        `The deadline is over: cutting off ${inHand}. Keys being deleted wait for their lease to end.`
      )
      yield* Fiber.interrupt(fiber)
    })
    return yield* Effect.onInterrupt(Fiber.join(fiber), () => drain)
  })

const endAtOnceOn = (signals: ReadonlyArray<NodeJS.Signals>, lastResort: number): void => {
  for (const signal of signals) process.on(signal, () => process.exit(130))
  setTimeout(() => process.exit(1), lastResort).unref()
}
