/** Contenders one after the other. In each run another one is first, so that no place is always the same one's. */
export const inTurns = async <Who extends string, A>(
  run: number,
  who: ReadonlyArray<Who>,
  one: (who: Who) => Promise<A>
): Promise<Record<Who, A>> => {
  const first = (run - 1) % who.length
  const done: Array<readonly [Who, A]> = []
  for (const next of [...who.slice(first), ...who.slice(0, first)]) done.push([next, await one(next)])
  return Object.fromEntries(done) as Record<Who, A>
}
