/**
 * Runs variants one after the other. Each run starts with another variant, so that no variant has a fixed
 * position.
 */
export const inRotation = async <Name extends string, A>(
  run: number,
  variants: ReadonlyArray<Name>,
  work: (variant: Name) => Promise<A>
): Promise<Record<Name, A>> => {
  const results: Array<readonly [Name, A]> = []
  for (const variant of rotated(run, variants)) results.push([variant, await work(variant)])
  return Object.fromEntries(results) as Record<Name, A>
}

/** Returns the variants in the order of a run, which counts from 1. */
export const rotated = <Name extends string>(
  run: number,
  variants: ReadonlyArray<Name>
): ReadonlyArray<Name> => {
  const first = (run - 1) % variants.length
  return [...variants.slice(first), ...variants.slice(0, first)]
}
