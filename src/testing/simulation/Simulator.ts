/** The simulator of one run: the kernel, the delivery of requests, and the processes. */
import * as Delivery from "./Delivery.ts"
import type { Kernel } from "./Kernel.ts"
import * as Processes from "./Processes.ts"
import type { Actor, World } from "./World.ts"

/** Holds the parts of a run. A world that is made for it may use all of them. */
export interface Simulator extends Kernel {
  readonly delivery: Delivery.Delivery
  readonly processes: Processes.Processes
  /** Starts the processes of all actors. */
  readonly startAll: () => void
}

/** Creates a simulator over its kernel. */
export const make = <R>(
  kernel: Kernel,
  actors: ReadonlyArray<Actor<R>>,
  world: () => World<R>
): Simulator => {
  const processes = Processes.make(kernel, actors, world)
  const delivery = Delivery.make(kernel, world)
  // The step is counted in one place, so the kernel becomes the simulator.
  return Object.assign(kernel, {
    delivery,
    processes,
    startAll: () => {
      for (const { count, name } of actors) for (let i = 0; i < count; i++) processes.start(name)
    }
  })
}
