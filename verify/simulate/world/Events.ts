/** The first part of a simulation: processes work, and one random event happens in each step. */
import { crash } from "./Crashes.ts"
import type { Delivery } from "./Delivery.ts"
import type { Request } from "./Network.ts"
import type { Process, Role } from "./Process.ts"
import type { Processes } from "./Processes.ts"
import { type Backup, backUp, restore } from "./Restores.ts"
import type { World } from "./World.ts"

const second = 1000
const minute = 60 * second
const leaps = [10 * second, 2 * minute, 6 * minute, 20 * minute, 61 * minute, 180 * minute]

/** Runs the steps that have faults. Returns the invariant that broke, or null. */
export const run = (world: World, processes: Processes, delivery: Delivery): string | null => {
  const { oracle, parameters, rng, scheduler, time } = world
  const next = events(world, processes, delivery)
  for (const [role, number] of Object.entries(parameters.processes))
    for (let i = 0; i < number; i++) processes.start(role as Role)
  scheduler.drain()
  let backup: Backup | null = null
  while (processes.step < parameters.steps) {
    processes.step += 1
    // A database that remembers no sweep cannot tell that it is old.
    const isDue = parameters.backupAt > 0 && processes.step >= parameters.backupAt
    const remembers = world.rows.binding?.sweptAt != null
    if (isDue && remembers && backup === null) backup = backUp(world)
    if (processes.step === parameters.restoreAt && backup !== null)
      restore(world, processes, delivery, backup)
    time.pass(rng.below(2 * second))
    next()
    scheduler.drain()
    const broken = oracle.check()
    if (broken !== null) return broken
  }
  return null
}

/** Returns a function that lets one random event happen. */
const events = (world: World, processes: Processes, delivery: Delivery): (() => void) => {
  const { count, network, parameters, rng, time } = world
  /** The process whose request was delivered last. */
  let latest: Process | null = null

  const kill = (process: Process) => {
    count("processes killed")
    processes.note(process, () => "is killed")
    processes.kill(process)
    processes.start(process.role as Role)
  }

  const interrupt = (process: Process) => {
    if (process.state === "ending") return
    count("processes interrupted")
    processes.note(process, () => "is asked to end")
    processes.interrupt(process)
    processes.start(process.role as Role)
  }

  const pause = (process: Process) => {
    const steps = 5 + rng.below(60)
    count("processes paused")
    processes.note(process, () => `is paused for ${steps} steps`)
    process.pausedUntil = processes.step + steps
  }

  const skew = (process: Process) => {
    if (process.hasWrongClock) return
    count("clocks displaced")
    process.aheadMillis = Math.round((rng.next() - 0.5) * parameters.skewMillis)
    processes.note(process, () => `has a clock that is ${process.aheadMillis} ms ahead`)
  }

  const leap = () => {
    const millis = Math.round(rng.pick(leaps) * (0.5 + rng.next()))
    count("leaps of time")
    processes.note(null, () => `${Math.round(millis / second)} s pass`)
    time.pass(millis)
  }

  /** A locked object cannot be deleted, and can be read and replaced. */
  const lock = () => {
    const keys = [...world.store.objects.keys()]
    if (keys.length === 0) return
    const key = rng.pick(keys)
    count("objects locked")
    processes.note(null, () => `object ${key} is locked`)
    world.store.locked.add(key)
  }

  /** With equal chances no sweep would end while a writer waits. So a process often keeps its turn. */
  const choose = (): Request | undefined => {
    const able = network.waiting.filter(({ process }) => process.pausedUntil <= processes.step)
    if (able.length === 0) return undefined
    const own = rng.chance(parameters.sameProcess) ? able.filter(({ process }) => process === latest) : []
    const sweeping = rng.chance(parameters.collectorFirst)
      ? able.filter(({ process }) => process.role === "collector")
      : []
    const request = rng.pick(own.length > 0 ? own : sweeping.length > 0 ? sweeping : able)
    latest = request.process
    return request
  }

  return () => {
    if (rng.chance(parameters.kills)) return kill(rng.pick(processes.running))
    if (rng.chance(parameters.kills / 2)) return interrupt(rng.pick(processes.running))
    if (rng.chance(parameters.pauses)) return pause(rng.pick(processes.running))
    if (rng.chance(parameters.skews)) return skew(rng.pick(processes.running))
    if (rng.chance(parameters.leaps)) return leap()
    // Seldom is a commit not on the disk yet, and then a crash shows the most.
    const isBehind = world.durability.isBehind() && parameters.faults > 0
    const crashes = isBehind ? 0.4 : parameters.crashes
    if (crashes > 0 && rng.chance(crashes)) return crash(world, processes, delivery)
    if (parameters.locks > 0 && rng.chance(parameters.locks)) return lock()
    if (network.late.length > 0 && rng.chance(parameters.lateEffects)) return delivery.executeLate()
    const request = choose()
    return request === undefined ? leap() : delivery.decide(request)
  }
}
