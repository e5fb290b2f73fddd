/** The processes of a simulation: how they begin and end, and the log of what they do. */
import { Cause, Effect, Exit } from "effect"
import { type Role, work } from "./Actors.ts"
import type { Process } from "./Gate.ts"
import * as Trace from "./Trace.ts"
import type { World } from "./World.ts"

export interface Crew {
  /** Those that live. */
  readonly processes: ReadonlyArray<Process>
  readonly start: (role: Role) => void
  /** It is gone, with all it knew; what it had sent may still take effect. */
  readonly kill: (process: Process) => void
  /** Asks it to end, as SIGTERM does: it may still clean up. */
  readonly interrupt: (process: Process) => void
  /** One that works outside the gate's reach, when all is over. */
  readonly keeper: () => Process
  readonly note: (process: Process | null, what: () => string) => void
  /** How far the simulation has come. */
  step: number
}

const newProcess = (name: string, role: string, wrongByMillis = 0): Process => ({
  name,
  role,
  aheadMillis: wrongByMillis,
  hasWrongClock: wrongByMillis !== 0,
  stalledUntil: 0,
  state: "running",
  fibre: null
})

/** Far beyond the tolerance of the clock guard, both ways. */
const wrongByMillis = [-180, -61, -5, 5, 61, 180].map((minutes) => minutes * 60_000)

export const make = (world: World, trace: Trace.Trace): Crew => {
  const { count, dice, gate, oracle, plan, time } = world
  const processes: Array<Process> = []
  const born = new Map<string, number>()

  const bury = (process: Process) => {
    process.state = "ended"
    const at = processes.indexOf(process)
    if (at !== -1) processes.splice(at, 1)
    oracle.answered(process, [])
  }

  /** By itself a process ends only when it is asked to. */
  const ended = (process: Process, exit: Exit.Exit<unknown, unknown>) => {
    if (process.state === "ended") return
    bury(process)
    if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause))
      oracle.broken(`${process.name} died: ${Trace.showExit(exit)}`)
  }

  const crew: Crew = {
    processes,
    step: 0,
    note: (process, what) => {
      if (trace !== Trace.silent) trace.add(crew.step, time.now(), process, what())
    },
    start: (role) => {
      const number = (born.get(role) ?? 0) + 1
      born.set(role, number)
      const wrongBy = dice.chance(plan.wrongClocks) ? dice.pick(wrongByMillis) : 0
      const process = newProcess(`${role} ${number}`, role, wrongBy)
      if (process.hasWrongClock) {
        count("wrong clocks")
        crew.note(process, () => `begins, with a clock that is ${wrongBy / 1000} s ahead`)
      }
      processes.push(process)
      const pause = gate.pass(process, "pause", [], Effect.void, undefined as never)
      const life = Effect.forever(Effect.andThen(pause, work[role]({ world, process, pause })))
      process.fibre = Effect.runForkWith(world.services(process))(life)
      process.fibre.addObserver((exit) => ended(process, exit))
    },
    kill: (process) => {
      bury(process)
      time.forget(process)
      for (const call of gate.waiting.filter((one) => one.process === process)) {
        gate.take(call)
        if (call.verb !== "pause" && dice.chance(0.5)) gate.late.push(call)
      }
    },
    interrupt: (process) => {
      process.state = "ending"
      process.fibre?.interruptUnsafe()
    },
    keeper: () => newProcess("keeper", "keeper")
  }
  return crew
}
