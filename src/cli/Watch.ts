/** Repeats what a command shows until it is interrupted. */
import { Clock, Duration, Effect } from "effect"
import { Flag } from "effect/cli"
import * as Print from "./Print.ts"

/** Often enough to see a sweep move, and seldom enough to cost the database nothing. */
const every = Duration.seconds(2)

/** Defines the flag that repeats. */
export const watchFlag = Flag.Boolean("watch").pipe(
  Flag.withDescription("Show it anew every 2 seconds, until interrupted"),
  Flag.withDefault(false)
)

/** Shows what `look` returns again and again. An error is shown, too: a database that restarts returns. */
export const watching = <E extends { readonly message: string }, R>(
  look: (now: number) => Effect.Effect<string, E, R>
): Effect.Effect<never, never, R> =>
  Clock.currentTimeMillis.pipe(
    Effect.flatMap(look),
    Effect.catch(({ message }) => Effect.succeed(message)),
    Effect.tap(() => Print.clearScreen),
    Effect.flatMap(Print.text),
    Effect.andThen(Effect.sleep(every)),
    Effect.forever
  )
