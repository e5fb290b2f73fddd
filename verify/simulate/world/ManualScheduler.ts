/**
 * A scheduler that runs fibers only when told to, on the caller's stack. No event loop, timer or promise can
 * run between two steps of a simulation.
 */
import type { Scheduler } from "effect/Scheduler"

/** Queues the tasks of fibers until they are drained. */
export interface ManualScheduler extends Scheduler {
  /** Runs every fiber that can run, until none can. */
  readonly drain: () => void
}

/** Creates a scheduler with an empty queue. */
export const make = (): ManualScheduler => {
  const tasks: Array<() => void> = []
  const drain = () => {
    for (let i = 0; i < tasks.length; i++) tasks[i]?.()
    tasks.length = 0
  }
  return {
    executionMode: "sync",
    shouldYield: () => false,
    makeDispatcher: () => ({
      scheduleTask: (task) => {
        tasks.push(task)
      },
      flush: drain
    }),
    drain
  }
}
