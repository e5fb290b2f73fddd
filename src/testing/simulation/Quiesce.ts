/**
 * The second part of a simulation: faults end, late requests arrive, and days pass. Then no garbage may be
 * left, and what is referenced must read back.
 */
import { type Context, Effect, Exit } from "effect"
import { nameOf } from "./Delivery.ts"
import type { Broken } from "./Kernel.ts"
import { pause } from "./Network.ts"
import type { Process } from "./Process.ts"
import type { Simulator } from "./Simulator.ts"
import * as Trace from "./Trace.ts"
import type { World } from "./World.ts"

const dayMillis = 24 * 60 * 60 * 1000

/** Most steps in which processes finish the work in hand. */
const settlingMax = 20_000

/** Runs the part without faults. Returns the invariant that broke, or null. */
export const run = <R>(simulator: Simulator, world: World<R>): Broken | null => {
  const { choices, note, processes } = simulator
  note(null, () => "faults end")
  // In half of the worlds all processes die; in the others each finishes its present work.
  if (choices.end.chance(0.5)) for (const process of [...processes.running]) processes.kill(process)
  return settle(simulator) ?? close(simulator, world)
}

/** Delivers requests and lets time pass until no process waits. */
const settle = (simulator: Simulator): Broken | null => {
  const { check, choices, delivery, network, scheduler, time } = simulator
  for (let steps = 0; steps < settlingMax; steps++) {
    scheduler.drain()
    for (const request of network.waiting.filter(({ verb }) => verb === pause)) {
      network.take(request)
      request.process.isIdle = true
    }
    endIdleTransactions(simulator)
    simulator.step += 1
    if (network.waiting.length > 0) delivery.succeed(choices.end.pick(network.waiting, nameOf))
    else if (network.late.length > 0) delivery.executeLate(choices.end.pick(network.late, nameOf))
    else {
      const wakeAt = time.nextWakeAt()
      if (wakeAt === null) return check() ?? stuck(simulator)
      time.pass(Math.max(1, wakeAt - time.now()))
    }
    scheduler.drain()
    const broken = check()
    if (broken !== null) return broken
  }
  const busy = simulator.processes.running.filter(({ isIdle }) => !isIdle)
  return {
    invariant: everyRunEnds,
    message: `${namesOf(busy)} did not end the work in hand in ${settlingMax} steps without faults`
  }
}

/** Kills processes that wait inside a transaction, as `idle_in_transaction_session_timeout` does. */
const endIdleTransactions = ({ network, processes }: Simulator): void => {
  for (const process of processes.running.filter(({ onKill }) => onKill !== null))
    if (!network.waiting.some((request) => request.process === process)) processes.kill(process)
}

const everyRunEnds = "every run ends"

/** Returns the processes that wait for what neither a request nor a clock brings. */
const stuck = ({ processes }: Simulator): Broken | null => {
  const waiting = processes.running.filter(({ isIdle }) => !isIdle)
  if (waiting.length === 0) return null
  return {
    invariant: everyRunEnds,
    message:
      `${namesOf(waiting)} waits for something outside of the simulation, such as a promise or a socket: ` +
      "no request is under way and no sleep ends"
  }
}

const namesOf = (processes: ReadonlyArray<Process>): string => processes.map(({ name }) => name).join(", ")

const close = <R>(simulator: Simulator, { closing, services }: World<R>): Broken | null => {
  const { check, network, note, processes, time } = simulator
  network.deliverAtOnce()
  closing.prepare?.()
  const janitor = processes.extra("janitor")
  const own = services(janitor)
  const perform = <A, E>(effect: Effect.Effect<A, E, R>) => performTimed(simulator, own, effect)
  for (let days = 0; days < closing.daysMax && (days === 0 || closing.left() !== null); days++) {
    simulator.step += 1
    time.pass(dayMillis)
    const exit = perform(closing.day)
    if (exit === null) return check() ?? unended
    note(janitor, () => `sweeps: ${Trace.showExit(exit)}`)
    if (Exit.isFailure(exit))
      return { invariant: "a collector sweeps once faults have ended", message: Trace.showExit(exit) }
    const broken = check()
    if (broken !== null) return broken
  }
  const last = perform(closing.last)
  if (last === null) return check() ?? unended
  const left = closing.left()
  if (left !== null) return { invariant: "nothing leaks", message: left }
  const message = Exit.isSuccess(last) ? last.value : Trace.showExit(last)
  return message === null ? null : { invariant: "what is referenced reads back", message }
}

/** Most sleeps in one day of the closing. A sweep sleeps where a service of the host waits, and for retries. */
const sleepsMax = 1000

const unended: Broken = {
  invariant: everyRunEnds,
  message:
    "the sweeps at the end wait for something outside of the simulation, such as a promise or a socket, " +
    `or sleep more than ${sleepsMax} times a day`
}

/**
 * Runs an effect on the scheduler and the clock of the simulation, and lets time pass where all its fibers sleep. Its
 * requests are delivered at once. Returns null if the effect does not end.
 */
const performTimed = <A, E, R>(
  { scheduler, time }: Simulator,
  services: Context.Context<R>,
  effect: Effect.Effect<A, E, R>
): Exit.Exit<A, E> | null => {
  const fiber = Effect.runForkWith(services)(effect)
  for (let sleeps = 0; sleeps <= sleepsMax; sleeps++) {
    scheduler.drain()
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return exit
    const wakeAt = time.nextWakeAt()
    if (wakeAt === null) return null
    time.pass(Math.max(1, wakeAt - time.now()))
  }
  return null
}
