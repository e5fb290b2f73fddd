/**
 * A scheduler for the fibre that moves a `TestClock`: each of its steps waits until the process is at rest.
 *
 * `TestClock.adjust` yields after each sleep that it ends, and before it ends the next. So the clock stops at every sleep
 * until what it woke sleeps again. By itself it waits for tasks of the scheduler alone, and for one second of real time.
 */
import type { Scheduler } from "effect"
import { type RestOptions, whenAtRest } from "./Rest.ts"

/** A scheduler whose tasks wait for rest. */
export interface Gated {
  readonly scheduler: Scheduler.Scheduler
  /** Runs tasks at once from now on, and waits for nothing. */
  readonly open: () => void
}

/** Returns a scheduler whose tasks wait for rest. Calls `gaveUp` when there is none, and then runs nothing. */
export const gated = (options: RestOptions, gaveUp: (reason: string) => void): Gated => {
  const ungated = options.scheduler.makeDispatcher()
  let isOpen = false
  let waiting: Array<() => void> = []
  let withdraw: (() => void) | null = null

  const run = () => {
    withdraw = null
    const tasks = waiting
    waiting = []
    for (const task of tasks) task()
  }
  const dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task, priority) => {
      if (isOpen) return ungated.scheduleTask(task, priority)
      waiting.push(task)
      withdraw ??= whenAtRest(options, { atRest: run, gaveUp })
    },
    flush: () => {
      withdraw?.()
      while (waiting.length > 0) run()
    }
  }
  return {
    scheduler: {
      executionMode: options.scheduler.executionMode,
      shouldYield: () => false,
      makeDispatcher: () => dispatcher
    },
    open: () => {
      isOpen = true
      dispatcher.flush()
    }
  }
}
