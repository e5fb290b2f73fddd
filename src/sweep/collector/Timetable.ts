/** When a collector sweeps next: by its own schedule, or by the one that operators set in the database. */
import { Duration, Effect, Random, Result } from "effect"
import type { Orders, Override } from "../../database/Database.ts"
import * as Changes from "../Changes.ts"
import { Sweep } from "../Sweep.ts"
import { dueAfter, longestWait } from "../When.ts"
import * as Window from "../Window.ts"
import type { Schedule } from "./Options.ts"

/** A schedule that may be changed while a collector waits. */
export interface Timetable {
  /** The schedule in force. */
  readonly schedule: () => Schedule
  /**
   * Returns when the next sweep may begin, its jitter and the window included. It is drawn once for each sweep: the first
   * call after the end of one is at its end.
   */
  readonly next: (now: number) => Effect.Effect<number>
  /** Notes that the wait begins. After a slow consumer of reports the interval counts from then. */
  readonly wait: (now: number) => void
  /**
   * Takes orders up, and returns whether the schedule changed. The next sweep is then due by the new one. Null changes
   * nothing: the database did not answer.
   */
  readonly heed: (orders: Orders | null, now: number) => Effect.Effect<boolean>
  /** Returns when to look for orders again: infinity if only a sweep that is due does. */
  readonly looksAt: () => number
  /** Notes that a sweep begins. */
  readonly begin: () => void
}

/** Returns the same text for the same changes of the schedule. */
const keyOf = (overrides: ReadonlyArray<Override>): string =>
  JSON.stringify(
    overrides.flatMap(({ name, value }) => (Changes.ofSchedule.has(name) ? [[name, value]] : []))
  )

/** Returns the timetable of a collector whose own schedule is `given`. */
export const make = Effect.fnUntraced(function* (given: Schedule) {
  const sweep = yield* Sweep
  const lookEvery = given.lookEvery === undefined ? null : Duration.toMillis(given.lookEvery)
  let schedule = given
  /** The changed settings as they were last taken up. */
  let ordered = keyOf([])
  let isFirst = true
  /** When the last sweep ended, and the first may begin. */
  let from: number | null = null
  let due: number | null = null
  let lookedAt = Number.NEGATIVE_INFINITY

  const draw = Effect.fnUntraced(function* (since: number) {
    const { jitter, when } = schedule
    // Whole milliseconds, as clocks have them: a rest below a nanosecond is a sleep that ends at once, and never ends.
    const later =
      isFirst && when._tag === "interval" ? 0 : Math.round(Duration.toMillis(jitter) * (yield* Random.next))
    return dueAfter(when, since, isFirst) + later
  })

  const next = Effect.fnUntraced(function* (now: number) {
    from ??= now
    due ??= yield* draw(from)
    const at = Math.max(due, now)
    return at + (schedule.window === undefined ? 0 : Window.opensIn(schedule.window, at))
  })

  const timetable: Timetable = {
    schedule: () => schedule,
    next,
    wait: (now) => {
      if (from !== null && due !== null && now > from) {
        due = schedule.when._tag === "interval" ? due + now - from : due < now ? null : due
      }
      from = now
    },
    heed: Effect.fnUntraced(function* (orders, now) {
      lookedAt = now
      if (orders === null) return false
      const { overrides } = orders
      const key = keyOf(overrides)
      if (key === ordered) return false
      ordered = key
      const { changes } = yield* Changes.read(overrides)
      const changed = Changes.scheduleOf(given, changes)
      const { jitter, when, window } = changed
      const fits = yield* Effect.result(sweep.scheduled(longestWait(when, jitter, window)))
      if (Result.isFailure(fits)) {
        yield* Effect.logWarning(
          `The schedule that was set in the database does not fit this collector, which keeps its own: ${fits.failure.problems.join("; ")}.`
        )
        if (schedule === given) return false
      }
      schedule = Result.isFailure(fits) ? given : changed
      due = null
      yield* Effect.logInfo("Taking up a schedule that was changed in the database.")
      return true
    }),
    looksAt: () => (lookEvery === null ? Number.POSITIVE_INFINITY : lookedAt + lookEvery),
    begin: () => {
      isFirst = false
      from = null
      due = null
    }
  }
  return timetable
})
