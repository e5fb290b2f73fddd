/** A question of the bench, and its answer: figures that were measured and verified. */
import type { Servers } from "./Servers.ts"

/** Describes a question. */
export interface Question {
  /** The name of its command. */
  readonly name: string
  /** One line that describes it in the help. */
  readonly asks: string
  /** Its options `--name N`, all whole numbers. */
  readonly options: Readonly<Record<string, { readonly about: string }>>
  /** Whether it asks PostgreSQL or an S3 server. Default true. */
  readonly needsServers?: boolean
  /** Measures and verifies. Fails with NoFigures if it cannot. */
  readonly ask: (bench: Bench) => Promise<Answer>
}

/** Holds what a question works with. */
export interface Bench {
  readonly servers: Servers
  /** The options of the command line. */
  readonly given: Readonly<Record<string, number>>
  readonly seed: number
  /** Prints progress on stderr. */
  readonly log: (text: string) => void
  /** Options of Node for the processes that are measured. */
  readonly nodeOptions: ReadonlyArray<string>
}

/**
 * One quantity, measured of the code in question and of the variants it is compared with. Each run is a
 * sample.
 */
export interface Figure {
  readonly name: string
  readonly unit: string
  readonly measured: ReadonlyArray<number>
  /** The least that the work can take. */
  readonly floor?: ReadonlyArray<number>
  /** The simplest way to do the work. */
  readonly baseline?: ReadonlyArray<number>
  /** Maximum of `measured` in every run. */
  readonly limit?: number
  /** Minimum of `measured` in every run. */
  readonly atLeast?: number
}

/** A curve of a chart. */
export interface Series {
  readonly name: string
  /** Labels of the axes, with units. */
  readonly x: string
  readonly y: string
  readonly points: ReadonlyArray<readonly [x: number, y: number]>
}

/** The answer to a question. */
export interface Answer {
  /** The parameters of the question, defaults included. */
  readonly parameters: Readonly<Record<string, number>>
  readonly figures: ReadonlyArray<Figure>
  readonly series?: ReadonlyArray<Series>
  /** Sentences that say what was verified. */
  readonly verified: ReadonlyArray<string>
}

/** Says why there are no figures: nothing was measured, or a verification failed. */
export class NoFigures extends Error {}

/** Fails with NoFigures unless `condition` holds. */
export function ensure(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new NoFigures(otherwise)
}

/** Fails with NoFigures unless `verify` fails with it, which shows that the verification detects `what`. */
export const ensureDetected = async (what: string, verify: () => Promise<unknown>): Promise<void> => {
  const isDetected = await verify().then(
    () => false,
    (error: unknown) => {
      if (error instanceof NoFigures) return true
      throw error
    }
  )
  ensure(isDetected, `the verification did not detect ${what}`)
}

/**
 * Checks an answer. All variants of a figure must have equally many samples, and every sample must be above
 * zero. Fails with NoFigures otherwise.
 */
export const check = ({ figures, series = [], verified }: Answer): void => {
  ensure(figures.length > 0, "the question was answered without a figure")
  ensure(verified.length > 0, "nothing was verified")
  for (const { name, points } of series)
    ensure(points.length > 1, `${name}: ${points.length} points make no line`)
  for (const { name, measured, floor, baseline } of figures) {
    for (const [variant, samples] of Object.entries({ measured, floor, baseline })) {
      if (samples === undefined) continue
      ensure(samples.length === measured.length, `${name}: ${variant} has ${samples.length} samples`)
      ensure(samples.length > 0, `${name}: ${variant} was never measured`)
      const bad = samples.find((sample) => !(Number.isFinite(sample) && sample > 0))
      ensure(bad === undefined, `${name}: ${variant} is ${bad}, so it was not measured`)
    }
  }
}
