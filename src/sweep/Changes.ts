/**
 * Settings that operators change in the database, for all collectors of a catalogue and without a restart: the ceilings
 * of the pace, and when to sweep. None of them decides what is garbage, so collectors that take them up at different
 * times still agree.
 */
import { type Config, ConfigProvider, type DateTime, type Duration, Effect, Result } from "effect"
import type { Override } from "../database/Database.ts"
import { closestTo } from "../domain/closest.ts"
import { printable } from "../domain/printable.ts"
import { reasonOf, type Setting, sentence } from "../domain/Setting.ts"
import type { Schedule } from "./collector/Options.ts"
import type { SweepSettings } from "./Settings.ts"
import { interval, window } from "./schedule.ts"
import { sizes } from "./settingsTable.ts"
import * as Window from "./Window.ts"

/** The settings of a sweep that may be changed. */
export type Pacing = Pick<SweepSettings, "deleteConcurrency" | "keysPerSecondMax" | "requestsPerSecondMax">

/** What was changed. Null lifts a ceiling or a window; an absent member is not changed. */
export interface Changes {
  readonly pacing: Partial<Pacing>
  readonly interval?: Duration.Duration
  readonly window?: string | null
}

const ofPace = <Name extends keyof Pacing>(name: Name) => ({
  setting: sizes[name] as Setting<unknown>,
  change: (changes: Changes, value: unknown): Changes => ({
    ...changes,
    pacing: { ...changes.pacing, [name]: value }
  })
})

const changeable = {
  GC_DELETE_CONCURRENCY: { ...ofPace("deleteConcurrency"), mayBeNone: false },
  GC_INTERVAL: {
    setting: interval as Setting<unknown>,
    mayBeNone: false,
    change: (changes: Changes, value: unknown): Changes => ({
      ...changes,
      interval: value as Duration.Duration
    })
  },
  GC_KEYS_PER_SECOND: { ...ofPace("keysPerSecondMax"), mayBeNone: true },
  GC_REQUESTS_PER_SECOND: { ...ofPace("requestsPerSecondMax"), mayBeNone: true },
  GC_WINDOW: {
    setting: window as Setting<unknown>,
    mayBeNone: true,
    change: (changes: Changes, value: unknown): Changes => ({ ...changes, window: value as string | null })
  }
} as const

/** The names of the settings that may be changed. */
export const names = Object.keys(changeable) as ReadonlyArray<keyof typeof changeable>

/** Those of the schedule. */
export const ofSchedule: ReadonlySet<string> = new Set(["GC_INTERVAL", "GC_WINDOW"])

const isName = (name: string): name is keyof typeof changeable => Object.hasOwn(changeable, name)

const none = "none"

/** Returns the form of a value of the setting `name`, for help and documentation. */
export const formOf = (name: keyof typeof changeable): string => {
  const { mayBeNone, setting } = changeable[name]
  return mayBeNone ? `${setting.form}, or ${none}` : setting.form
}

/** Reads a value as the environment's is read: by the same rules, and with the same words. */
const valueOf = Effect.fnUntraced(function* (name: keyof typeof changeable, value: string) {
  const { mayBeNone, setting } = changeable[name]
  if (mayBeNone && value === none) return Result.succeed(null)
  // An empty variable is an absent one, and an order to change nothing is a mistake.
  if (value.trim() === "") return Result.fail(sentence("is empty", formOf(name)))
  const config = setting.config as Config.Config<unknown>
  const read = yield* Effect.result(config.parse(ConfigProvider.fromEnvRecord({ [name]: value })))
  if (Result.isFailure(read)) {
    const { cause } = read.failure
    return Result.fail(sentence(cause._tag === "SchemaError" ? reasonOf(cause) : cause.message, formOf(name)))
  }
  if (name !== "GC_WINDOW") return Result.succeed(read.success)
  return Result.map(Window.parse(value, undefined), () => read.success)
})

/** Returns `changes` with this one, or why it cannot be made. Its words never contain the value. */
export const add = Effect.fnUntraced(function* (
  changes: Changes,
  { name, value }: Pick<Override, "name" | "value">
): Effect.fn.Return<Result.Result<Changes, string>> {
  if (!isName(name)) {
    const meant = closestTo(name, names)
    return Result.fail(
      `${printable(name)}: cannot be changed in the database. ${meant === null ? "" : `Did you mean ${meant}? `}These can: ${names.join(", ")}`
    )
  }
  const { change } = changeable[name]
  const read: Result.Result<unknown, string> = yield* valueOf(name, value)
  return Result.isFailure(read)
    ? Result.fail(`${name}: ${read.failure}`)
    : Result.succeed(change(changes, read.success))
})

/** No change. */
export const unchanged: Changes = { pacing: {} }

/** Returns the changes, and what is wrong with those that cannot be made: another version may have other rules. */
export const read = Effect.fnUntraced(function* (overrides: ReadonlyArray<Override>) {
  let changes = unchanged
  const problems: Array<string> = []
  for (const override of overrides) {
    const added = yield* add(changes, override)
    if (Result.isSuccess(added)) changes = added.success
    else problems.push(added.failure)
  }
  return { changes, problems }
})

/** Returns a schedule with the changes. An interval replaces a cron expression, too. */
export const scheduleOf = (schedule: Schedule, changes: Changes): Schedule => ({
  ...schedule,
  ...(changes.interval === undefined
    ? {}
    : { when: { _tag: "interval", interval: changes.interval } as const }),
  ...(changes.window === undefined ? {} : { window: windowOf(changes.window, schedule.zone) })
})

const windowOf = (hours: string | null, zone: DateTime.TimeZone | undefined): Window.Window | undefined =>
  hours === null ? undefined : Result.getOrUndefined(Window.parse(hours, zone))
