/**
 * The choices of a run, in streams: the scenario, the events of each step, the end, and each process.
 *
 * A run draws all streams from one generator. A shortened run reads them from a {@link Tape}, each by itself:
 * a step that is left out then changes no choice of a process.
 */
import { at, make, type Rng } from "./Rng.ts"

/** A choice that a run made: a number, whether an event happened, or the name of what was chosen. */
export type Choice = number | boolean | string

/** Holds the choices of a run. */
export interface Tape {
  readonly scenario: ReadonlyArray<Choice>
  /** By step. */
  readonly steps: ReadonlyArray<ReadonlyArray<Choice>>
  readonly end: ReadonlyArray<Choice>
  /** By process. */
  readonly processes: ReadonlyMap<string, ReadonlyArray<Choice>>
  /** Processes that the run leaves out. */
  readonly without: ReadonlySet<string>
}

/** The stream of the shared services, which is no process. */
export const servers = "servers"

/** Makes the choices of a run. */
export interface Choices {
  /** Draws the parameters of a scenario. */
  readonly scenario: Rng
  /** Draws the event of the present step. */
  readonly events: Rng
  /**
   * Returns `answer`, which follows from the state of a run. A shortened run returns the answer of the run that
   * it shortens.
   */
  readonly asBefore: (answer: boolean) => boolean
  /** Whether pauses hold requests back. A shortened run has other step numbers, and its order is given. */
  readonly keepsPauses: boolean
  /** Draws the order of the last requests. */
  readonly end: Rng
  /** Returns the generator of a process. */
  readonly of: (process: string) => Rng
  /** Begins a step and returns true, or returns false if faults end. */
  readonly nextStep: (step: number, steps: number) => boolean
  /** Records that the present step chose what does not exist in this run: only its time passes. */
  readonly skipStep: () => void
  /** Returns whether the run has this process. */
  readonly has: (process: string) => boolean
}

/** Thrown where a shortened run names a process or a request that does not exist in it. */
export class Missing extends Error {}

/** Draws all choices from the seed and keeps none, for runs of thousands of seeds. */
export const drawn = (seed: number): Choices => {
  const rng = make(seed)
  return {
    scenario: rng,
    events: rng,
    asBefore: (answer) => answer,
    keepsPauses: true,
    end: rng,
    of: () => rng,
    nextStep: (step, steps) => step < steps,
    skipStep: () => {},
    has: () => true
  }
}

/** Choices that are kept. */
export interface Recorded extends Choices {
  /** Returns the choices so far. */
  readonly tape: () => Tape
}

/** Draws all choices from the seed and keeps them. */
export const recorded = (seed: number): Recorded => keeping(drawn(seed))

/** Reads all choices from a tape, and keeps those that the run makes. */
export const replayed = (tape: Tape): Recorded => {
  let step = -1
  let events = reader([], true)
  const processes = new Map<string, Rng>()
  const choices: Choices = {
    scenario: reader(tape.scenario, false),
    events: forward(() => events),
    asBefore: () => events.chance(1),
    keepsPauses: false,
    end: reader(tape.end, false),
    of: (process) => {
      const known = processes.get(process)
      if (known !== undefined) return known
      const rng = reader(tape.processes.get(process) ?? [], false)
      processes.set(process, rng)
      return rng
    },
    nextStep: () => {
      step += 1
      const present = tape.steps[step]
      events = reader(present ?? [], true)
      return present !== undefined
    },
    skipStep: () => {},
    has: (process) => !tape.without.has(process)
  }
  return keeping(choices, tape.without)
}

const keeping = (choices: Choices, without: ReadonlySet<string> = new Set()): Recorded => {
  const scenario: Array<Choice> = []
  const end: Array<Choice> = []
  const steps: Array<Array<Choice>> = []
  const processes = new Map<string, { readonly rng: Rng; readonly kept: Array<Choice> }>()
  let present: Array<Choice> = []
  let events = writer(choices.events, present)
  return {
    scenario: writer(choices.scenario, scenario),
    events: forward(() => events),
    asBefore: (answer) => {
      const given = choices.asBefore(answer)
      present.push(given)
      return given
    },
    keepsPauses: choices.keepsPauses,
    end: writer(choices.end, end),
    of: (process) => {
      const known = processes.get(process)
      if (known !== undefined) return known.rng
      const kept: Array<Choice> = []
      const rng = writer(choices.of(process), kept)
      processes.set(process, { rng, kept })
      return rng
    },
    nextStep: (step, max) => {
      if (!choices.nextStep(step, max)) return false
      present = []
      steps.push(present)
      events = writer(choices.events, present)
      return true
    },
    skipStep: () => {
      present.length = Math.min(present.length, 1)
    },
    has: choices.has,
    tape: () => ({
      scenario,
      steps,
      end,
      processes: new Map([...processes].map(([name, { kept }]) => [name, kept])),
      without
    })
  }
}

const forward = (rng: () => Rng): Rng => ({
  next: () => rng().next(),
  below: (count) => rng().below(count),
  chance: (probability) => rng().chance(probability),
  pick: (items, nameOf, all) => rng().pick(items, nameOf, all)
})

/** Returns the name of an item, with its place among the items of that name. */
const labelOf = <A>(item: A, nameOf: (item: A) => string, all: ReadonlyArray<A>): string => {
  const name = nameOf(item)
  let place = 0
  for (const other of all) {
    if (other === item) break
    if (nameOf(other) === name) place += 1
  }
  return `${name} ${place}`
}

/** Keeps what `rng` draws. */
const writer = (rng: Rng, kept: Array<Choice>): Rng => {
  const keep = <A extends Choice>(choice: A): A => {
    kept.push(choice)
    return choice
  }
  return {
    next: () => keep(rng.next()),
    below: (count) => keep(rng.below(count)),
    chance: (probability) => keep(rng.chance(probability)),
    pick: (items, nameOf, all) => {
      const item = rng.pick(items, nameOf, all)
      keep(nameOf === undefined ? items.indexOf(item) : labelOf(item, nameOf, all ?? items))
      return item
    }
  }
}

/**
 * Reads choices. A choice that is left out, or of another kind than the run asks for, is the quietest: nothing
 * happens, the first item, the number 0. `isStrict`: a name that does not exist, and a number that was not chosen,
 * throw {@link Missing}.
 */
const reader = (choices: ReadonlyArray<Choice>, isStrict: boolean): Rng => {
  let read = 0
  const number = (): number => {
    const choice = choices[read++]
    if (typeof choice === "number") return choice
    if (isStrict) throw new Missing()
    return 0
  }
  return {
    next: () => {
      const choice = number()
      return choice < 1 ? choice : 0
    },
    below: (count) => Math.min(Math.floor(number()), count - 1),
    chance: () => choices[read++] === true,
    pick: (items, nameOf, all = items) => {
      if (nameOf === undefined) return at(items, Math.min(Math.floor(number()), items.length - 1))
      const label = choices[read++]
      const found = all.find((item) => labelOf(item, nameOf, all) === label)
      if (found !== undefined) return found
      if (isStrict) throw new Missing()
      return at(items, 0)
    }
  }
}
