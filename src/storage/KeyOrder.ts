/**
 * The order of keys: the order of their UTF-8 bytes, by which every store lists.
 *
 * JavaScript compares UTF-16 units. The two orders differ in one place. A character above U+FFFF is a pair of
 * units from D800–DFFF, which sort before the single units E000–FFFF. Its UTF-8 bytes sort after theirs.
 */

/**
 * Returns a negative number, zero or a positive one as `a` sorts before, with or after `b`, both well-formed.
 */
export const compareKeys = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = rank(a.charCodeAt(i)) - rank(b.charCodeAt(i))
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Moves the surrogates above all other units and keeps the order of the others. */
const rank = (unit: number): number => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800)
