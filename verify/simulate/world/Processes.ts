/** The processes of a simulation: starts and ends them, and logs what they do. */
import { Cause, Effect, Exit } from "effect"
import { work } from "./Actors.ts"
import { closing } from "./Closing.ts"
import * as Process from "./Process.ts"
import * as Trace from "./Trace.ts"
import type { World } from "./World.ts"

/** Manages the processes of a world. */
export interface Processes {
  /** The processes that run. */
  readonly running: ReadonlyArray<Process.Process>
  /** Starts a process. */
  readonly start: (role: Process.Role) => void
  /** Ends a process at once, with all it knew. Requests that it has sent may still take effect. */
  readonly kill: (process: Process.Process) => void
  /** Asks a process to end, as SIGTERM does. It may still clean up. */
  readonly interrupt: (process: Process.Process) => void
  /** Creates a process that sweeps after faults have ended. */
  readonly janitor: () => Process.Process
  /** Adds a line to the trace. */
  readonly note: (process: Process.Process | null, what: () => string) => void
  /** Number of the present step. */
  step: number
}

/** Far beyond the tolerance of the clock guard, both ways. */
const wrongByMillis = [-180, -61, -5, 5, 61, 180].map((minutes) => minutes * 60_000)

/** Creates a world's list of processes, which is empty. */
export const make = (world: World, trace: Trace.Trace): Processes => {
  const { count, network, oracle, parameters, rng, time } = world
  const running: Array<Process.Process> = []
  const startedByRole = new Map<string, number>()

  const remove = (process: Process.Process) => {
    process.state = "ended"
    const at = running.indexOf(process)
    if (at !== -1) running.splice(at, 1)
    oracle.answered(process, [])
  }

  /** A process ends by itself only after an interruption. */
  const ended = (process: Process.Process, exit: Exit.Exit<unknown, unknown>) => {
    if (process.state === "ended") return
    remove(process)
    if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause))
      oracle.report(`${process.name} died: ${Trace.showExit(exit)}`)
  }

  const processes: Processes = {
    running,
    step: 0,
    note: (process, what) => {
      if (trace !== Trace.silent) trace.add(processes.step, time.now(), process, what())
    },
    start: (role) => {
      const number = (startedByRole.get(role) ?? 0) + 1
      startedByRole.set(role, number)
      const wrongBy = rng.chance(parameters.wrongClocks) ? rng.pick(wrongByMillis) : 0
      const process = Process.make(`${role} ${number}`, role, wrongBy)
      if (process.hasWrongClock) {
        count("wrong clocks")
        processes.note(process, () => `starts with a clock that is ${wrongBy / 1000} s ahead`)
      }
      running.push(process)
      const pause = network.send(process, "pause", [], Effect.void, undefined as never)
      const life = Effect.forever(Effect.andThen(pause, work[role]({ world, process, pause })))
      process.fiber = Effect.runForkWith(world.services(process))(life)
      process.fiber.addObserver((exit) => ended(process, exit))
    },
    kill: (process) => {
      remove(process)
      time.forget(process)
      for (const request of network.waiting.filter((other) => other.process === process)) {
        network.take(request)
        if (request.verb !== "pause" && rng.chance(0.5)) network.late.push(request)
      }
      if (process.host !== null) network.late.push(closing(world, process, process.host))
    },
    interrupt: (process) => {
      process.state = "ending"
      process.fiber?.interruptUnsafe()
    },
    janitor: () => Process.make("janitor", "janitor")
  }
  return processes
}
