/**
 * The random numbers of a simulation. The same seed gives the same numbers on every machine.
 *
 * The generator is sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, no multiplication, fast in
 * JavaScript.
 */

/** Draws random numbers. */
export interface Rng {
  /** Returns a number in [0, 1), with 32 bits. */
  readonly next: () => number
  /** Returns a whole number from 0 to `count` - 1. */
  readonly below: (count: number) => number
  /** Returns true with `probability`. */
  readonly chance: (probability: number) => boolean
  /**
   * Returns one of `items`, which must not be empty. `nameOf` makes a shortened run choose by name instead of
   * by place, among `all` where that is given.
   */
  readonly pick: <A>(items: ReadonlyArray<A>, nameOf?: (item: A) => string, all?: ReadonlyArray<A>) => A
}

/** Creates the generator of a seed. */
export const make = (seed: number): Rng => {
  let a = 0x9e3779b9
  let b = seed | 0
  let c = Math.floor(seed / 0x1_0000_0000) | 0
  let counter = 1
  const draw = (): number => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + sum) | 0
    return sum >>> 0
  }
  // The first draws of neighbouring seeds are correlated, so they are dropped.
  for (let i = 0; i < 16; i++) draw()
  const next = () => draw() / 0x1_0000_0000
  const below = (count: number) => Math.floor(next() * count)
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (items) => at(items, below(items.length))
  }
}

/** Returns an item by its place. */
export const at = <A>(items: ReadonlyArray<A>, place: number): A => {
  if (place < 0 || place >= items.length) throw new Error("cannot pick from an empty list")
  return items[place] as A
}
