/** The first part of a simulation: processes work, and one random event happens in each step. */
import { Missing } from "./Choices.ts"
import { nameOf } from "./Delivery.ts"
import type { Broken } from "./Kernel.ts"
import type { Request } from "./Network.ts"
import type { Process } from "./Process.ts"
import type { Simulator } from "./Simulator.ts"
import type { World } from "./World.ts"

const second = 1000
const minute = 60 * second
const leaps = [10 * second, 2 * minute, 6 * minute, 20 * minute, 61 * minute, 180 * minute]

/** Runs the steps that have faults. Returns the invariant that broke, or null. */
export const run = (
  simulator: Simulator,
  world: Pick<World<never>, "beforeStep" | "events">,
  steps: number
): Broken | null => {
  const { check, choices, rng, scheduler, time } = simulator
  const next = events(simulator, world)
  simulator.startAll()
  scheduler.drain()
  while (choices.nextStep(simulator.step, steps)) {
    simulator.step += 1
    try {
      time.pass(rng.below(2 * second))
      world.beforeStep?.()
      next()
    } catch (error) {
      if (!(error instanceof Missing)) throw error
      choices.skipStep()
    }
    scheduler.drain()
    const broken = check()
    if (broken !== null) return broken
  }
  return null
}

/** Returns a function that lets one random event happen. */
const events = (simulator: Simulator, world: Pick<World<never>, "events">): (() => void) => {
  const { choices, count, delivery, faults, network, note, processes, rng, time } = simulator
  /** The process whose request was delivered last. */
  let latest: Process | null = null

  const some = () => rng.pick(processes.running, ({ name }) => name)

  const kill = (process: Process) => {
    count("processes killed")
    note(process, () => "is killed")
    processes.kill(process)
    processes.start(process.role)
  }

  const interrupt = (process: Process) => {
    if (process.state === "ending") return
    count("processes interrupted")
    note(process, () => "is asked to end")
    processes.interrupt(process)
    processes.start(process.role)
  }

  const pause = (process: Process) => {
    const steps = 5 + rng.below(60)
    count("processes paused")
    note(process, () => `is paused for ${steps} steps`)
    process.pausedUntil = simulator.step + steps
  }

  const skew = (process: Process) => {
    if (process.hasWrongClock) return
    count("clocks displaced")
    process.aheadMillis = Math.round((rng.next() - 0.5) * faults.skewMillis)
    note(process, () => `has a clock that is ${process.aheadMillis} ms ahead`)
  }

  const leap = () => {
    const millis = Math.round(rng.pick(leaps) * (0.5 + rng.next()))
    count("leaps of time")
    note(null, () => `${Math.round(millis / second)} s pass`)
    time.pass(millis)
  }

  const choose = (): Request | undefined => {
    const able = choices.keepsPauses
      ? network.waiting.filter(({ process }) => process.pausedUntil <= simulator.step)
      : network.waiting
    if (choices.asBefore(able.length === 0)) return undefined
    const own = rng.chance(faults.sameProcess) ? able.filter(({ process }) => process === latest) : []
    const sweeping = rng.chance(faults.collectorFirst)
      ? able.filter(({ process }) => process.isCollector)
      : []
    const request = rng.pick(own.length > 0 ? own : sweeping.length > 0 ? sweeping : able, nameOf, able)
    latest = request.process
    return request
  }

  return () => {
    if (rng.chance(faults.kills)) return kill(some())
    if (rng.chance(faults.kills / 2)) return interrupt(some())
    if (rng.chance(faults.pauses)) return pause(some())
    if (rng.chance(faults.skews)) return skew(some())
    if (rng.chance(faults.leaps)) return leap()
    for (const event of world.events ?? []) {
      const rate = event.rate()
      if (choices.asBefore(rate > 0) && rng.chance(rate)) return event.happen()
    }
    if (choices.asBefore(network.late.length > 0) && rng.chance(faults.lateEffects))
      return delivery.executeLate()
    const request = choose()
    return request === undefined ? leap() : delivery.decide(request)
  }
}
