/**
 * One setting: how it is read, its default, and what an operator must know to choose its value.
 *
 * Owns the forms that a value may have (text, whole number, duration, word). It knows no setting by name: the
 * sweep's settings are listed in src/sweep/settingsTable.ts, all others in src/config/.
 */
import {
  Config,
  Duration,
  Option,
  type Redacted,
  Result,
  Schema,
  SchemaIssue,
  SchemaTransformation
} from "effect"
import { spelledOut } from "./shortDuration.ts"

/**
 * A setting that is read as `Given` and used as `Used`. They differ where another setting decides in its
 * absence.
 */
export interface Setting<Given, Used = Given> {
  /** Name of the environment variable. Its flag has the same name in lower case with hyphens. */
  readonly env: string
  /** Form of a value, for documentation and error messages. */
  readonly form: string
  /** Default as it would be written in the environment; null without one. */
  readonly default: string | null
  /** Value that applies when the setting is not given. */
  readonly fallback: Used
  /** Meaning of the setting, and the reason for its default. */
  readonly about: string
  /** Harm of a value that is too low. */
  readonly tooLow?: string
  /** Harm of a value that is too high. */
  readonly tooHigh?: string
  /** Whether the value is never printed and not offered as a flag, because command lines are public. */
  readonly secret: boolean
  /** Reads the setting from the current `ConfigProvider`. */
  readonly config: Config.Config<Given>
  /** Checks a value that a program gives, by the same rules as `config`, or says why it cannot be used. */
  readonly judge: (value: unknown) => Result.Result<Given, string>
}

type Texts = Pick<Setting<unknown>, "about" | "tooLow" | "tooHigh">

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/** Returns why a value does not fit its schema. The value itself is not in it. */
export const reasonOf = (error: Schema.SchemaError): string =>
  format(error.issue)
    .issues.map((issue) => issue.message)
    .join("; ")

/** Returns a check of values in the form in which they are used. */
const judging =
  <A>(schema: Schema.ConstraintCodec<A, unknown>) =>
  (value: unknown): Result.Result<A, string> =>
    Result.mapError(
      Schema.decodeUnknownResult(Schema.toType(schema) as unknown as Schema.Decoder<A>)(value),
      reasonOf
    )

const inputOf = (value: unknown): Duration.Input =>
  (typeof value === "string" ? spelledOut(value) : value) as Duration.Input

/** Returns a check that also takes every form of a duration that effect reads. */
const judgingDuration = (schema: Schema.ConstraintCodec<Duration.Duration, unknown>) => {
  const judge = judging(schema)
  return (value: unknown): Result.Result<Duration.Duration, string> =>
    judge(Option.getOrElse(Duration.fromInput(inputOf(value)), () => value))
}

/** Returns a check that also takes null. */
const orNull =
  <A>(judge: (value: unknown) => Result.Result<A, string>) =>
  (value: unknown): Result.Result<A | null, string> =>
    value === null ? Result.succeed(null) : judge(value)

const decoded = <A>(schema: Schema.ConstraintCodec<A, unknown>, value: string): A =>
  Schema.decodeUnknownSync(Schema.toCodecStringTree(schema) as Schema.Decoder<A>)(value)

const withDefault = <A>(
  env: string,
  form: string,
  schema: Schema.ConstraintCodec<A, unknown>,
  value: string,
  texts: Texts,
  judge: Setting<A>["judge"] = judging(schema)
): Setting<A> => {
  const fallback = decoded(schema, value)
  return {
    env,
    form,
    default: value,
    fallback,
    ...texts,
    secret: false,
    config: Config.withDefault(Config.schema(schema, env), fallback),
    judge
  }
}

/** Makes a setting that is null when it is not given. `otherwise` says in words what applies then. */
const optional = <A>(
  env: string,
  form: string,
  config: Config.Config<A>,
  judge: Setting<A>["judge"],
  texts: Texts,
  otherwise: string | null = null
): Setting<A | null> => ({
  env,
  form,
  default: otherwise,
  fallback: null,
  ...texts,
  secret: false,
  config: Config.withDefault(config, null),
  judge: orNull(judge)
})

/** Makes a text without a default; absent is null. */
export const optionalText = (env: string, form: string, texts: Texts): Setting<string | null> =>
  optional(env, form, Config.NonEmptyString(env), judging(Schema.NonEmptyString), texts)

/** Makes a text that is never printed and is read from the environment only; absent is null. */
export const secret = (env: string, form: string, texts: Texts): Setting<Redacted.Redacted | null> => ({
  ...optional(env, form, Config.Redacted(env), judging(Schema.Redacted(Schema.String)), texts),
  secret: true
})

/** Makes a text with a default. */
export const text = (env: string, value: string, texts: Texts): Setting<string> =>
  withDefault(env, "text", Schema.NonEmptyString, value, texts)

/** Makes a choice that another setting makes when it is not given. `otherwise` says how. */
export const optionalChoice = (env: string, otherwise: string, texts: Texts): Setting<boolean | null> =>
  optional(env, "true or false", Config.Boolean(env), judging(Schema.Boolean), texts, otherwise)

/** Makes a choice with a default. */
export const choice = (env: string, value: boolean, texts: Texts): Setting<boolean> => ({
  env,
  form: "true or false",
  default: String(value),
  fallback: value,
  ...texts,
  secret: false,
  config: Config.withDefault(Config.Boolean(env), value),
  judge: judging(Schema.Boolean)
})

/** Makes a setting that takes one of a few words; absent is null. */
export const optionalWord = <const A extends string>(
  env: string,
  words: ReadonlyArray<A>,
  texts: Texts
): Setting<A | null> => {
  const schema = Schema.Literals(words)
  return optional(env, words.join(" or "), Config.schema(schema, env), judging<A>(schema), texts)
}

/** Makes a setting that takes one of a few words, with a default. */
export const word = <const A extends string>(
  env: string,
  words: ReadonlyArray<A>,
  value: NoInfer<A>,
  texts: Texts
): Setting<A> => withDefault(env, words.join(" or "), Schema.Literals(words), value, texts)

/** Makes a duration with a default. It may be from `least` to 520 weeks. */
export const duration = (
  env: string,
  value: string,
  least: string,
  texts: Texts
): Setting<Duration.Duration> => {
  const bounded = atLeast(least)
  return withDefault(env, durationForm, bounded, value, texts, judgingDuration(bounded))
}

/**
 * Makes a duration that other settings decide when it is not given; absent is null. `follows` says how they
 * decide. `fallback` is their decision when all of them have their defaults.
 */
export const followingDuration = (
  env: string,
  follows: string,
  fallback: Duration.Duration,
  texts: Texts
): Setting<Duration.Duration | null, Duration.Duration> => {
  const bounded = atLeast("0 seconds")
  const form = 'a duration such as "0 seconds" or "7 days"'
  const config = Config.schema(bounded, env)
  return { ...optional(env, form, config, judgingDuration(bounded), texts, follows), fallback }
}

/** Makes a duration with a default, or `none`, which is null. */
export const durationOrNone = (
  env: string,
  value: string,
  least: string,
  texts: Texts
): Setting<Duration.Duration | null> => {
  const bounded = atLeast(least)
  const fallback = decoded(bounded, value)
  return {
    env,
    form: `${durationForm}, or none`,
    default: value,
    fallback,
    ...texts,
    secret: false,
    config: Config.withDefault(
      Config.map(Config.schema(Schema.Union([Schema.Literal("none"), bounded]), env), (given) =>
        given === "none" ? null : given
      ),
      fallback
    ),
    judge: orNull(judgingDuration(bounded))
  }
}

/** Makes a whole number with a default. */
export const integer = (
  env: string,
  value: number,
  minimum: number,
  maximum: number,
  texts: Texts
): Setting<number> =>
  withDefault(env, integerForm(minimum, maximum), between(minimum, maximum), String(value), texts)

/** Makes a whole number without a default; absent is null. */
export const optionalInteger = (
  env: string,
  minimum: number,
  maximum: number,
  texts: Texts
): Setting<number | null> => {
  const schema = between(minimum, maximum)
  return optional(env, integerForm(minimum, maximum), Config.schema(schema, env), judging(schema), texts)
}

const integerForm = (minimum: number, maximum: number): string =>
  `a whole number from ${minimum} to ${maximum}`

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const durationForm = 'a duration such as "90 seconds" or "1 hour"'

/** Ten years: longer than any use, and safe to add to any instant. */
const longest = Duration.weeks(520)

const fromShort = SchemaTransformation.transform({ decode: spelledOut, encode: (text: string) => text })

/** A bare number has no unit, and a guess could shorten a wait. */
const DurationWithUnit = Schema.String.check(
  Schema.makeFilter((value: string) =>
    /^\s*\d+(\.\d+)?\s*$/.test(value) ? `${value.trim()} of what? Write "${value.trim()} seconds"` : undefined
  )
).pipe(Schema.decodeTo(Schema.DurationFromString, fromShort))

const atLeast = (least: string) => {
  const bound = Duration.fromInputUnsafe(least as Duration.Input)
  return DurationWithUnit.check(
    Schema.makeFilter((value: Duration.Duration) =>
      Duration.isLessThan(value, bound) || Duration.isGreaterThan(value, longest)
        ? `must be between ${least} and 520 weeks`
        : undefined
    )
  )
}

/** Returns what is wrong with a value and what to write. A reason that says what to write needs no form behind it. */
export const sentence = (reason: string, form: string): string =>
  reason.includes("Write ") ? reason : `${reason}; write ${form}`

/** The value that each setting of a table is used as. */
type ValuesOf<Table extends Readonly<Record<string, Setting<unknown>>>> = {
  readonly [Name in keyof Table]: Table[Name]["fallback"]
}

/** Returns the value of each setting of a table when none is given. */
export const fallbacksOf = <Table extends Readonly<Record<string, Setting<unknown>>>>(
  table: Table
): ValuesOf<Table> =>
  Object.fromEntries(
    Object.entries(table).map(([name, setting]) => [name, setting.fallback])
  ) as ValuesOf<Table>
