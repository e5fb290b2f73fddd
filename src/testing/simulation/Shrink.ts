/**
 * Shortens a run that breaks an invariant: fewer processes, fewer steps and fewer faults, as long as the same
 * invariant breaks. It tries at most a given number of runs, always the same ones for the same run.
 */
import { type Choice, replayed, servers, type Tape } from "./Choices.ts"
import { type Draw, type Played, play } from "./Play.ts"

/** The shortest run that was found. */
export interface Shrunk {
  /** Number of steps that do something, before faults end. */
  readonly steps: number
  /** Number of runs that were tried. */
  readonly runs: number
  /** A line for each step. */
  readonly trace: ReadonlyArray<string>
  /** The message of the invariant, which may differ from that of the whole run. */
  readonly message: string
}

/** A run that breaks an invariant. */
export interface Breaking {
  readonly tape: Tape
  readonly invariant: string
  /** True if faults had ended when it broke. */
  readonly isAtEnd: boolean
}

/** Shortens a run. Returns null if its choices do not break the invariant again. */
export const shrink = <R>(
  draw: Draw<R>,
  { invariant, isAtEnd, tape }: Breaking,
  runsMax: number
): Shrunk | null => {
  const endsWithFaults = !isAtEnd
  let runs = 0
  let best: Tape | null = null
  const attempt = (candidate: Tape): boolean => {
    if (runs >= runsMax) return false
    runs += 1
    const choices = replayed(candidate)
    const { broken } = play(choices, draw, { isTraced: false, endsWithFaults })
    if (broken?.invariant !== invariant) return false
    best = choices.tape()
    return true
  }
  if (!attempt(tape)) return null
  const present = (): Tape => best ?? tape
  removeProcesses(present, attempt)
  attempt({ ...present(), steps: present().steps.map(([, ...event]) => [0, ...event]) })
  for (let size = Number.POSITIVE_INFINITY; sizeOf(present()) < size && runs < runsMax; ) {
    size = sizeOf(present())
    removeSteps(present, attempt)
    removeProcesses(present, attempt)
    quieten(present, attempt)
  }
  const last = present()
  const choices = replayed(last)
  const whole: Played = play(choices, draw, { isTraced: true, endsWithFaults })
  if (whole.broken === null) return null
  return { steps: last.steps.length, runs, trace: whole.trace, message: whole.broken.message }
}

type Attempt = (candidate: Tape) => boolean

/** Counts the choices of steps and processes: the less, the shorter. */
const sizeOf = ({ processes, steps, without }: Tape): number =>
  steps.reduce((sum, step) => sum + 1 + step.length, 0) + processes.size - without.size

/** Leaves out one process after the other. */
const removeProcesses = (present: () => Tape, attempt: Attempt): void => {
  for (const name of present().processes.keys()) {
    const tape = present()
    if (tape.without.has(name) || !tape.processes.has(name) || name === servers) continue
    attempt({ ...tape, without: new Set([...tape.without, name]) })
  }
}

/** Leaves out steps: halves, quarters, and so on to single ones, the last ones first. */
const removeSteps = (present: () => Tape, attempt: Attempt): void => {
  const done = present()
  const busy = done.steps.filter((step) => step.length > 1)
  if (busy.length < done.steps.length) attempt({ ...done, steps: busy })
  for (let length = Math.ceil(present().steps.length / 2); length >= 1; length = halfOf(length)) {
    for (let end = present().steps.length; end > 0; end -= length) {
      const tape = present()
      const last = Math.min(end, tape.steps.length)
      const first = Math.max(0, last - length)
      if (first === last) continue
      attempt({ ...tape, steps: [...tape.steps.slice(0, first), ...tape.steps.slice(last)] })
    }
  }
}

const halfOf = (length: number): number => (length === 1 ? 0 : Math.ceil(length / 2))

/** Takes faults and pauses from the steps that deliver a request, and the order from the end. */
const quieten = (present: () => Tape, attempt: Attempt): void => {
  attempt({ ...present(), end: [true] })
  for (let i = present().steps.length - 1; i >= 0; i--) {
    const tape = present()
    const quiet = quietened(tape.steps[i] ?? [])
    if (quiet === null) continue
    attempt({ ...tape, steps: tape.steps.map((step, at) => (at === i ? quiet : step)) })
  }
}

/** Returns a step that only delivers its request, or null if it does so already. */
const quietened = (step: ReadonlyArray<Choice>): ReadonlyArray<Choice> | null => {
  const named = step.findIndex((choice) => typeof choice === "string")
  const rest = step.slice(named + 1)
  return named === -1 || !rest.includes(true) ? null : step.slice(0, named + 1)
}
