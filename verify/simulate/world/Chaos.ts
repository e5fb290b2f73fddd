/** The first part of a simulation: processes work, and everything goes wrong that may. */
import type { Role } from "./Actors.ts"
import type { Call, Process } from "./Gate.ts"
import type { Crew } from "./Processes.ts"
import type { Requests } from "./Requests.ts"
import type { World } from "./World.ts"

const second = 1000
const minute = 60 * second
const leaps = [10 * second, 2 * minute, 6 * minute, 20 * minute, 61 * minute, 180 * minute]

/** Answers what broke, or null. */
export const run = (world: World, crew: Crew, requests: Requests): string | null => {
  const { count, dice, gate, oracle, plan, time, turns } = world
  /** Whose request happened last. */
  let latest: Process | null = null

  const someone = (): Process => dice.pick(crew.processes)

  const kill = () => {
    const process = someone()
    count("processes killed")
    crew.note(process, () => "is killed")
    crew.kill(process)
    crew.start(process.role as Role)
  }

  const interrupt = () => {
    const process = someone()
    if (process.state === "ending") return
    count("processes interrupted")
    crew.note(process, () => "is asked to end")
    crew.interrupt(process)
    crew.start(process.role as Role)
  }

  const stall = () => {
    const process = someone()
    const steps = 5 + dice.below(60)
    count("processes paused")
    crew.note(process, () => `is paused for ${steps} steps`)
    process.stalledUntil = crew.step + steps
  }

  const skew = () => {
    const process = someone()
    if (process.hasWrongClock) return
    count("clocks displaced")
    process.aheadMillis = Math.round((dice.next() - 0.5) * plan.skewMillis)
    crew.note(process, () => `has a clock that is ${process.aheadMillis} ms ahead`)
  }

  const leap = () => {
    const millis = Math.round(dice.pick(leaps) * (0.5 + dice.next()))
    count("leaps of time")
    crew.note(null, () => `${Math.round(millis / second)} s pass`)
    time.pass(millis)
  }

  /** In fair turns no sweep would come round while a writer thinks: whoever had one may go on for a while. */
  const choose = (): Call | undefined => {
    const able = gate.waiting.filter(({ process }) => process.stalledUntil <= crew.step)
    if (able.length === 0) return undefined
    const own = dice.chance(plan.persistence) ? able.filter(({ process }) => process === latest) : []
    const sweeping = dice.chance(plan.diligence)
      ? able.filter(({ process }) => process.role === "collector")
      : []
    const call = dice.pick(own.length > 0 ? own : sweeping.length > 0 ? sweeping : able)
    latest = call.process
    return call
  }

  const happen = () => {
    if (dice.chance(plan.kills)) return kill()
    if (dice.chance(plan.kills / 2)) return interrupt()
    if (dice.chance(plan.stalls)) return stall()
    if (dice.chance(plan.skews)) return skew()
    if (dice.chance(plan.leaps)) return leap()
    if (gate.late.length > 0 && dice.chance(plan.landings)) return requests.land()
    const call = choose()
    return call === undefined ? leap() : requests.decide(call)
  }

  for (const [role, number] of Object.entries(plan.crew))
    for (let i = 0; i < number; i++) crew.start(role as Role)
  turns.drain()
  while (crew.step < plan.steps) {
    crew.step += 1
    time.pass(dice.below(2 * second))
    happen()
    turns.drain()
    const broken = oracle.check()
    if (broken !== null) return broken
  }
  return null
}
