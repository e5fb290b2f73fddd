/** The schedule of a collector as its host gives it, checked all at once. */
import { Array as Arr, type Cron, type DateTime, Duration, Effect, Option, Result } from "effect"
import { SettingsInvalid } from "../../domain/SettingsInvalid.ts"
import type { SweepReport } from "../../domain/SweepReport.ts"
import { cronOf, type When, zoneOf } from "../When.ts"
import * as Window from "../Window.ts"

/** When a collector sweeps. Either `every` or `cron` is given; without both it is every hour. */
export interface ScheduleOptions {
  /**
   * Time from the end of one sweep to the beginning of the next. The first begins at once. From 1 second to 520 weeks.
   * Default `"1 hour"`, because the waits of the settings are hours.
   */
  readonly every?: Duration.Input | undefined
  /**
   * Times of the sweeps, instead of `every`: five or six fields such as `30 2 * * *`. Times that fall inside a running
   * sweep are skipped. In the night in which clocks are set forward, 02:30 is an hour later by the wall. Where they are
   * set back, 02:30 is due once, and an hourly expression in both of the hours.
   */
  readonly cron?: string | Cron.Cron | undefined
  /** IANA time zone of `cron` and `window`. Default `"UTC"`. A `Cron` value keeps its own zone and `onDstOverlap`. */
  readonly zone?: string | undefined
  /**
   * Maximum random time that is added to each wait, so that replicas started together drift apart. Default 1 minute, but
   * no more than a tenth of `every`: replicas may sweep at the same time, which is only wasteful.
   */
  readonly jitter?: Duration.Input | undefined
  /**
   * Hours of the day in which sweeps may run, such as `22:00-06:00`. A sweep that is due waits for them, and one under way
   * ends with them. Default: any hour.
   */
  readonly window?: string | Window.Window | undefined
  /**
   * How often a collector that waits looks whether operators changed its schedule (`artifact-gc set`). Each look reads a
   * row or two. Default: only when a sweep is due, which takes changes up at the next sweep.
   */
  readonly lookEvery?: Duration.Input | undefined
}

/** How `Collector.layer` sweeps, stops and reports. */
export interface LayerOptions extends ScheduleOptions {
  /**
   * Maximum time that the batch in hand may take to finish when the scope closes. It is interrupted then, and its keys
   * are retried after their lease. Default `"25 seconds"`: Kubernetes kills a process 30 seconds after it asked it to stop.
   */
  readonly deadline?: Duration.Input | undefined
  /**
   * Runs after each sweep, the last one included, before the next is due. A slow one makes the sweeps wait. Its defects
   * are logged and end nothing. Default: nothing.
   */
  readonly onReport?: ((report: SweepReport) => Effect.Effect<unknown>) | undefined
}

/** The checked schedule. */
export interface Schedule {
  readonly when: When
  readonly jitter: Duration.Duration
  readonly window: Window.Window | undefined
  /** The zone of a window that operators set in the database. */
  readonly zone?: DateTime.TimeZone | undefined
  /** How often to look for a schedule that operators set while a sweep is awaited. Default: when a sweep is due. */
  readonly lookEvery?: Duration.Duration | undefined
}

const defaultInterval = Duration.hours(1)
const defaultJitter = Duration.minutes(1)
const defaultDeadline = Duration.seconds(25)

/** Ten years, as for every duration among the settings. */
const longest = Duration.weeks(520)

/** Collects what is wrong with options, by their names. */
const reader = (problems: Array<string>) => ({
  take: <A>(name: string, result: Result.Result<A, string>): A | undefined => {
    if (Result.isSuccess(result)) return result.success
    problems.push(`${name}: ${result.failure}`)
    return undefined
  },
  duration: (
    name: string,
    given: Duration.Input | undefined,
    least: Duration.Duration,
    otherwise: Duration.Duration
  ): Duration.Duration => {
    if (given === undefined) return otherwise
    const read = Duration.fromInput(given)
    if (Option.isSome(read) && Duration.between(read.value, { minimum: least, maximum: longest })) {
      return read.value
    }
    problems.push(
      `${name}: must be a duration such as "90 seconds", between ${Duration.format(least)} and 520 weeks`
    )
    return otherwise
  }
})

const scheduleIn = (options: ScheduleOptions, problems: Array<string>): Schedule => {
  const { duration, take } = reader(problems)
  if (options.every !== undefined && options.cron !== undefined) {
    problems.push("cron: give either every or cron, not both")
  }
  const zone = take("zone", zoneOf(options.zone ?? "UTC"))
  const interval = duration("every", options.every, Duration.seconds(1), defaultInterval)
  const cron = options.cron === undefined ? undefined : take("cron", cronOf(options.cron, zone))
  const when: When = cron === undefined ? { _tag: "interval", interval } : { _tag: "cron", cron }
  return {
    when,
    jitter: duration("jitter", options.jitter, Duration.zero, jitterOf(when)),
    window: windowOf(options.window, zone, take),
    zone,
    lookEvery:
      options.lookEvery === undefined
        ? undefined
        : duration("lookEvery", options.lookEvery, Duration.seconds(1), Duration.minutes(1))
  }
}

const jitterOf = (when: When): Duration.Duration =>
  when._tag === "interval"
    ? Duration.min(defaultJitter, Duration.times(when.interval, 1 / 10))
    : defaultJitter

const windowOf = (
  window: ScheduleOptions["window"],
  zone: DateTime.TimeZone | undefined,
  take: ReturnType<typeof reader>["take"]
): Window.Window | undefined =>
  typeof window === "string" ? take("window", Window.parse(window, zone)) : window

const checked = <A>(read: (problems: Array<string>) => A): Effect.Effect<A, SettingsInvalid> =>
  Effect.suspend(() => {
    const problems: Array<string> = []
    const value = read(problems)
    return Arr.isArrayNonEmpty(problems)
      ? Effect.fail(new SettingsInvalid({ problems }))
      : Effect.succeed(value)
  })

/** Returns the schedule, or fails with all that is wrong with it. */
export const schedule = (options: ScheduleOptions): Effect.Effect<Schedule, SettingsInvalid> =>
  checked((problems) => scheduleIn(options, problems))

/** Returns schedule and deadline, or fails with all that is wrong with them. */
export const layer = (
  options: LayerOptions
): Effect.Effect<Schedule & { readonly deadline: Duration.Duration }, SettingsInvalid> =>
  checked((problems) => ({
    ...scheduleIn(options, problems),
    deadline: reader(problems).duration("deadline", options.deadline, Duration.zero, defaultDeadline)
  }))
