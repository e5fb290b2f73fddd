/** Seeded random numbers: the same seed gives the same numbers. */
import { createHash } from "node:crypto"

/** Draws random numbers. */
export interface Rng {
  /** Returns a number in [0, 1). */
  readonly next: () => number
  /** Returns a whole number below `end`. */
  readonly below: (end: number) => number
  /** Returns one of `items`. */
  readonly pick: <A>(items: readonly [A, ...ReadonlyArray<A>]) => A
}

/** Creates an xorshift128+ generator, whose state begins with a hash of the seed. */
export const make = (seed: string): Rng => {
  const state = createHash("sha256").update(seed).digest()
  let a = state.readBigUInt64LE(0) | 1n
  let b = state.readBigUInt64LE(8)
  const mask = (1n << 64n) - 1n
  const next = () => {
    let x = a
    const y = b
    a = y
    x ^= (x << 23n) & mask
    b = x ^ y ^ (x >> 17n) ^ (y >> 26n)
    return Number(((b + y) & mask) >> 11n) / 2 ** 53
  }
  const below = (end: number) => Math.floor(next() * end)
  return { next, below, pick: (items) => items[below(items.length)] ?? items[0] }
}
