/** The phases of a collector without a registry, in the order in which they run. */
import type { BlobDatabase, CollectorDatabase } from "../database/Database.ts"
import type { Storage } from "../storage/Storage.ts"
import type { Phase } from "./Phase.ts"
import { journal } from "./phases/Journal.ts"
import { leftovers } from "./phases/Leftovers.ts"
import { multiparts } from "./phases/Multiparts.ts"
import { orphans } from "./phases/Orphans.ts"
import { stagedUploads } from "./phases/StagedUploads.ts"
import { suspects } from "./phases/Suspects.ts"

/**
 * Staged uploads and parts first: their bytes are in no row. Then suspects, whose writers wait. Leftovers after orphans,
 * and the journal last, so that what the others journaled and could not delete is tried again.
 */
export const collectorPhases: ReadonlyArray<Phase<BlobDatabase | CollectorDatabase | Storage>> = [
  stagedUploads,
  multiparts,
  suspects,
  orphans,
  leftovers,
  journal
]
