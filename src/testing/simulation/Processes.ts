/** The processes of a simulation: starts and ends them, and logs what they do. */
import { Cause, Effect, Exit } from "effect"
import type { Kernel } from "./Kernel.ts"
import { pause } from "./Network.ts"
import * as Process from "./Process.ts"
import * as Trace from "./Trace.ts"
import type { Actor, World } from "./World.ts"

/** Manages the processes of a world. */
export interface Processes {
  /** The processes that run. */
  readonly running: ReadonlyArray<Process.Process>
  /** Starts a process of the actor with this name. */
  readonly start: (actor: string) => void
  /** Ends a process at once, with all it knew. Requests that it has sent may still take effect. */
  readonly kill: (process: Process.Process) => void
  /** Asks a process to end, as SIGTERM does. It may still clean up. */
  readonly interrupt: (process: Process.Process) => void
  /** Creates a process beside the actors, which is not among those that run. */
  readonly extra: (name: string) => Process.Process
}

/** Far beyond the tolerance of the clock guard, both ways. */
const wrongByMillis = [-180, -61, -5, 5, 61, 180].map((minutes) => minutes * 60_000)

/** Creates a world's list of processes, which is empty. */
export const make = <R>(
  kernel: Kernel,
  actors: ReadonlyArray<Actor<R>>,
  world: () => World<R>
): Processes => {
  const { choices, count, faults, network, note, time } = kernel
  const running: Array<Process.Process> = []
  const startedByRole = new Map<string, number>()

  const remove = (process: Process.Process) => {
    process.state = "ended"
    const at = running.indexOf(process)
    if (at !== -1) running.splice(at, 1)
    world().ended?.(process)
  }

  /** A process ends by itself only after an interruption. */
  const ended = (process: Process.Process, exit: Exit.Exit<unknown, unknown>) => {
    if (process.state === "ended") return
    remove(process)
    if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause))
      kernel.report(`${process.name} died: ${Trace.showExit(exit)}`, "no process dies of itself")
  }

  const run = (process: Process.Process, actor: Actor<R>) => {
    const { around, services } = world()
    const life = Effect.forever(Effect.andThen(network.pause(process), actor.work(process)))
    const whole = around === undefined ? life : around(process, life)
    process.fiber = Effect.runForkWith(services(process))(whole)
    process.fiber.addObserver((exit) => ended(process, exit))
  }

  return {
    running,
    start: (role) => {
      const actor = actors.find(({ name }) => name === role)
      if (actor === undefined) throw new Error(`no actor has the name ${role}`)
      const number = (startedByRole.get(role) ?? 0) + 1
      startedByRole.set(role, number)
      const name = `${role} ${number}`
      if (!choices.has(name)) return
      const own = choices.of(name)
      const wrongBy = own.chance(faults.wrongClocks) ? own.pick(wrongByMillis) : 0
      const { isCollector = role === "collector", pauseStepsMax = 40 } = actor
      const process = Process.make(name, role, own, { isCollector, pauseStepsMax, wrongByMillis: wrongBy })
      if (process.hasWrongClock) {
        count("wrong clocks")
        note(process, () => `starts with a clock that is ${wrongBy / 1000} s ahead`)
      }
      running.push(process)
      run(process, actor)
    },
    kill: (process) => {
      remove(process)
      time.forget(process)
      for (const request of network.waiting.filter((other) => other.process === process)) {
        network.take(request)
        if (request.verb !== pause && process.rng.chance(0.5)) network.late.push(request)
      }
      process.onKill?.()
    },
    interrupt: (process) => {
      process.state = "ending"
      process.fiber?.interruptUnsafe()
    },
    extra: (name) => Process.make(name, name, choices.of(name))
  }
}
