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

/** Operations that a fiber may do between two waits. A sweep of a simulated world needs some thousands. */
const operationsMax = 2_000_000

/** Turns that the fibers of one step may take together. */
const turnsMax = 200_000

/** Creates a scheduler with an empty queue. `spins` is called if fibers run without an end. */
export const make = (spins: () => void = () => {}): ManualScheduler => {
  const tasks: Array<() => void> = []
  let isOver = false
  const drain = () => {
    for (let i = 0; i < tasks.length && !isOver; i++) {
      tasks[i]?.()
      if (i === turnsMax) end()
    }
    tasks.length = 0
  }
  const end = () => {
    isOver = true
    spins()
  }
  return {
    executionMode: "sync",
    shouldYield: ({ currentOpCount }) => {
      if (currentOpCount < operationsMax) return false
      end()
      return true
    },
    makeDispatcher: () => ({
      scheduleTask: (task) => {
        tasks.push(task)
      },
      flush: drain
    }),
    drain
  }
}
