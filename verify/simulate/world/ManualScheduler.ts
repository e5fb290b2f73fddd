/**
 * Runs fibres only when told to, all on the present stack: no event loop, no timer, no promise can put itself
 * between two steps of a simulation.
 */
import type { Scheduler } from "effect/Scheduler"

export interface Turns extends Scheduler {
  /** Runs every fibre that can run, until none can. */
  readonly drain: () => void
}

export const make = (): Turns => {
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
