/** What orders of operators have in common: who orders, why, and for how long. */
import { hostname, userInfo } from "node:os"
import { Duration, Effect, Option, Schema, SchemaTransformation } from "effect"
import { Flag } from "effect/cli"
import { spelledOut } from "../domain/shortDuration.ts"

const longest = Duration.weeks(520)

/** Names who runs this command. A user without a name, as in some containers, is called by the host alone. */
export const caller = Effect.sync(() => {
  try {
    return `${userInfo().username}@${hostname()}`
  } catch {
    return hostname()
  }
})

/** Defines the flag that says why. */
export const reasonFlag = (about: string) =>
  Flag.String("reason").pipe(
    Flag.withMetavar("text"),
    Flag.withDescription(about),
    Flag.withDefault("no reason was given")
  )

/** A time with its unit, which a person gives. */
export const GivenTime = Schema.String.check(
  Schema.makeFilter((text: string) =>
    Option.isNone(Duration.fromInput(spelledOut(text) as Duration.Input))
      ? 'Expected a duration such as "90 seconds" or "2 hours"'
      : undefined
  )
).pipe(
  Schema.decodeTo(
    Schema.DurationFromString.check(
      Schema.makeFilter((time: Duration.Duration) =>
        Duration.isLessThan(time, Duration.seconds(1)) || Duration.isGreaterThan(time, longest)
          ? "Expected between 1 second and 520 weeks"
          : undefined
      )
    ),
    SchemaTransformation.transform({ decode: spelledOut, encode: (text: string) => text })
  )
)

/** Defines the flag that says for how long. */
export const forFlag = (about: string) =>
  Flag.String("for").pipe(
    Flag.withMetavar("duration"),
    Flag.withSchema(GivenTime),
    Flag.withDescription(about),
    Flag.optional
  )
