/** Seeded random numbers: the same seed rolls the same dice. */
import { createHash } from "node:crypto"

export interface Dice {
  /** In [0, 1). */
  readonly next: () => number
  /** A whole number below `end`. */
  readonly below: (end: number) => number
  readonly pick: <A>(items: readonly [A, ...ReadonlyArray<A>]) => A
}

/** xorshift128+, begun with a hash of the seed. */
export const dice = (seed: string): Dice => {
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
