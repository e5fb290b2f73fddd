/**
 * The order of keys: that of their UTF-8 bytes, which every store lists by.
 *
 * JavaScript compares UTF-16 units. The two orders differ in one place: a character above U+FFFF is a pair of
 * units from D800–DFFF, which sort before the single units E000–FFFF, while its UTF-8 bytes sort after theirs.
 */

/** Negative, zero or positive as `a` sorts before, with or after `b`, for well-formed strings. */
export const compareKeys = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = rank(a.charCodeAt(i)) - rank(b.charCodeAt(i))
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Moves the surrogates above all other units and keeps everything else in place. */
const rank = (unit: number): number => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800)
