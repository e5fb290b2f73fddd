/** Finds the name that a mistyped one resembles. */

/** A name with more edits than this is another name. */
export const editsMax = 2

/** Returns the name that resembles `name` most, within {@link editsMax} edits; null without one. */
export const closestTo = (name: string, names: ReadonlyArray<string>): string | null => {
  const [best] = byLikeness(name, names)
  return best !== undefined && best.edits <= editsMax ? best.name : null
}

/** Returns the names with their edits, the likeliest first. */
export const byLikeness = (
  name: string,
  names: ReadonlyArray<string>
): ReadonlyArray<{ readonly name: string; readonly edits: number }> =>
  names.map((other) => ({ name: other, edits: editsBetween(name, other) })).sort((a, b) => a.edits - b.edits)

/** Returns how many letters must be added, removed, replaced or swapped with their neighbour to turn `a` into `b`. */
export const editsBetween = (a: string, b: string): number => {
  const rows: Array<Array<number>> = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  const at = (row: number, column: number): number => rows[row]?.[column] ?? Number.POSITIVE_INFINITY
  for (let row = 1; row <= a.length; row += 1) {
    rows[row] = [row]
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a[row - 1] === b[column - 1]
      const isSwapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      rows[row]?.push(
        Math.min(
          at(row - 1, column) + 1,
          at(row, column - 1) + 1,
          at(row - 1, column - 1) + (isSame ? 0 : 1),
          isSwapped ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY
        )
      )
    }
  }
  return at(a.length, b.length)
}
