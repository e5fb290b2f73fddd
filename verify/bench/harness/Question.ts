/** What a question is, and what counts as an answer: figures that were really measured. */
import type { Servers } from "./Servers.ts"

export interface Question {
  /** Its command. */
  readonly name: string
  /** One line for people. */
  readonly asks: string
  /** Whole numbers it takes as `--name N`. */
  readonly options: Readonly<Record<string, { readonly about: string }>>
  readonly ask: (bench: Bench) => Promise<Answer>
}

/** What a question has to work with. */
export interface Bench {
  readonly servers: Servers
  /** The options that were given. */
  readonly given: Readonly<Record<string, number>>
  readonly seed: number
  /** Says on stderr what is going on. */
  readonly log: (text: string) => void
  /** For the processes that are measured. */
  readonly nodeOptions: ReadonlyArray<string>
}

/** The same thing measured of what is in question, and of what it is compared with; a sample for each run. */
export interface Figure {
  readonly name: string
  readonly unit: string
  readonly measured: ReadonlyArray<number>
  /** As little as the work can be done with. */
  readonly floor?: ReadonlyArray<number>
  /** As people do it who do not think about speed. */
  readonly baseline?: ReadonlyArray<number>
  /** The most that `measured` may be, in any run. */
  readonly limit?: number
  /** The least that `measured` may be, in any run. */
  readonly atLeast?: number
}

/** How something went, to be drawn as a line. */
export interface Series {
  readonly name: string
  /** What the axes are, with their units. */
  readonly x: string
  readonly y: string
  readonly points: ReadonlyArray<readonly [x: number, y: number]>
}

export interface Answer {
  /** What was asked with, defaults included. */
  readonly parameters: Readonly<Record<string, number>>
  readonly figures: ReadonlyArray<Figure>
  readonly series?: ReadonlyArray<Series>
  /** What was verified on the way, in sentences. */
  readonly verified: ReadonlyArray<string>
}

/** Nothing was measured, or something else than was asked for. */
export class Insufficient extends Error {}

/** Ends the run with no figures printed, unless `condition` holds. */
export function insist(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Insufficient(otherwise)
}

/** A figure of nothing is no figure: each needs as many samples as its rivals have, all of them above zero. */
export const check = ({ figures, series = [], verified }: Answer): void => {
  insist(figures.length > 0, "the question was answered without a figure")
  insist(verified.length > 0, "nothing was verified")
  for (const { name, points } of series)
    insist(points.length > 1, `${name}: there is no line of ${points.length} points`)
  for (const { name, measured, floor, baseline } of figures) {
    for (const [of, samples] of Object.entries({ measured, floor, baseline })) {
      if (samples === undefined) continue
      insist(samples.length === measured.length, `${name}: ${of} has ${samples.length} samples`)
      insist(samples.length > 0, `${name}: ${of} was never measured`)
      const bad = samples.find((sample) => !(Number.isFinite(sample) && sample > 0))
      insist(bad === undefined, `${name}: ${of} is ${bad}, so it was not measured`)
    }
  }
}
