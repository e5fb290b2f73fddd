/** One setting: how it is read, and everything a person must know to choose its value. */
import { Config, Duration, type Redacted, Schema } from "effect"

export interface Setting<A> {
  /** The environment variable; its flag is the same in lower case with hyphens. */
  readonly env: string
  /** What a value looks like, for documentation and for error messages. */
  readonly form: string
  /** As it would be written in the environment; null where there is none. */
  readonly default: string | null
  /** What it does, and why the default is what it is. */
  readonly about: string
  readonly tooLow?: string
  readonly tooHigh?: string
  /** Never printed, and not offered as a flag, because command lines are public. */
  readonly secret: boolean
  readonly config: Config.Config<A>
}

type Texts = Pick<Setting<unknown>, "about" | "tooLow" | "tooHigh">

const decoded = <A>(schema: Schema.ConstraintCodec<A, unknown>, value: string): A =>
  Schema.decodeUnknownSync(Schema.toCodecStringTree(schema) as Schema.Decoder<A>)(value)

const withDefault = <A>(
  env: string,
  form: string,
  schema: Schema.ConstraintCodec<A, unknown>,
  value: string,
  texts: Texts
): Setting<A> => ({
  env,
  form,
  default: value,
  ...texts,
  secret: false,
  config: Config.withDefault(Config.schema(schema, env), decoded(schema, value))
})

/** A setting without default; absent is `null`. */
export const optionalText = (env: string, form: string, texts: Texts): Setting<string | null> => ({
  env,
  form,
  default: null,
  ...texts,
  secret: false,
  config: Config.withDefault(Config.NonEmptyString(env), null)
})

export const secret = (env: string, form: string, texts: Texts): Setting<Redacted.Redacted | null> => ({
  env,
  form,
  default: null,
  ...texts,
  secret: true,
  config: Config.withDefault(Config.Redacted(env), null)
})

export const text = (env: string, value: string, texts: Texts): Setting<string> =>
  withDefault(env, "text", Schema.NonEmptyString, value, texts)

/** A choice that another setting makes when it is not given; `otherwise` says how. */
export const optionalChoice = (env: string, otherwise: string, texts: Texts): Setting<boolean | null> => ({
  env,
  form: "true or false",
  default: otherwise,
  ...texts,
  secret: false,
  config: Config.withDefault(Config.Boolean(env), null)
})

export const choice = (env: string, value: boolean, texts: Texts): Setting<boolean> => ({
  env,
  form: "true or false",
  default: String(value),
  ...texts,
  secret: false,
  config: Config.withDefault(Config.Boolean(env), value)
})

/** One of a few words; absent is `null`. */
export const optionalWord = <const A extends string>(
  env: string,
  words: ReadonlyArray<A>,
  texts: Texts
): Setting<A | null> => ({
  env,
  form: words.join(" or "),
  default: null,
  ...texts,
  secret: false,
  config: Config.withDefault(Config.schema(Schema.Literals(words), env), null)
})

/** One of a few words. */
export const word = <const A extends string>(
  env: string,
  words: ReadonlyArray<A>,
  value: A,
  texts: Texts
): Setting<A> => withDefault(env, words.join(" or "), Schema.Literals(words), value, texts)

export const duration = (
  env: string,
  value: string,
  least: string,
  texts: Texts
): Setting<Duration.Duration> =>
  withDefault(env, 'a duration such as "90 seconds" or "1 hour"', atLeast(least), value, texts)

/** A whole number; absent is `null`. */
export const optionalInteger = (
  env: string,
  minimum: number,
  maximum: number,
  texts: Texts
): Setting<number | null> => ({
  env,
  form: `a whole number from ${minimum} to ${maximum}`,
  default: null,
  ...texts,
  secret: false,
  config: Config.withDefault(
    Config.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })), env),
    null
  )
})

/** A duration that follows another setting when it is not given. */
export const optionalDuration = (
  env: string,
  follows: string,
  texts: Texts
): Setting<Duration.Duration | null> => ({
  env,
  form: 'a duration such as "0 seconds" or "7 days"',
  default: follows,
  ...texts,
  secret: false,
  config: Config.withDefault(Config.schema(atLeast("0 seconds"), env), null)
})

/** A duration, or `none`, which is `null`. */
export const durationOrNone = (
  env: string,
  value: string,
  least: string,
  texts: Texts
): Setting<Duration.Duration | null> => {
  const bounded = atLeast(least)
  return {
    env,
    form: 'a duration such as "90 seconds" or "1 hour", or none',
    default: value,
    ...texts,
    secret: false,
    config: Config.withDefault(
      Config.map(Config.schema(Schema.Union([Schema.Literal("none"), bounded]), env), (given) =>
        given === "none" ? null : given
      ),
      decoded(bounded, value)
    )
  }
}

/** Ten years: beyond any use, and safe to add to any instant. */
const longest = Duration.weeks(520)

const atLeast = (least: string) => {
  const bound = Duration.fromInputUnsafe(least as Duration.Input)
  return Schema.DurationFromString.check(
    Schema.makeFilter((value: Duration.Duration) =>
      Duration.isLessThan(value, bound) || Duration.isGreaterThan(value, longest)
        ? `must be between ${least} and 520 weeks`
        : undefined
    )
  )
}

export const integer = (
  env: string,
  value: number,
  minimum: number,
  maximum: number,
  texts: Texts
): Setting<number> =>
  withDefault(
    env,
    `a whole number from ${minimum} to ${maximum}`,
    Schema.Int.check(Schema.isBetween({ minimum, maximum })),
    String(value),
    texts
  )
