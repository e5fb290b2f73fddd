/**
 * Mutants: the code without one of its protections each. A simulation that does not notice a mutant proves
 * nothing. So the tests run every mutant until it fails, on seeds that the unchanged code passes.
 */
import { bucketMutants } from "./mutants/BucketMutants.ts"
import { collectorMutants } from "./mutants/CollectorMutants.ts"
import { hostMutants } from "./mutants/HostMutants.ts"
import type { Mutant } from "./mutants/Mutant.ts"
import { registryMutants } from "./mutants/RegistryMutants.ts"
import { restoreMutants } from "./mutants/RestoreMutants.ts"
import { sourceMutants } from "./mutants/SourceMutants.ts"
import { unannouncedMutants } from "./mutants/UnannouncedMutants.ts"

export type { Mutant } from "./mutants/Mutant.ts"

/** Lists all mutants. */
export const mutants: ReadonlyArray<Mutant> = [
  ...collectorMutants,
  ...hostMutants,
  ...registryMutants,
  ...bucketMutants,
  ...unannouncedMutants,
  ...sourceMutants,
  ...restoreMutants
]

/** Returns the mutant with this name. */
export const mutantNamed = (name: string): Mutant | undefined =>
  mutants.find((mutant) => mutant.name === name)
