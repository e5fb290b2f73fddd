/** The phases of a collector beside the registry: those of every collector, and three of the registry's own. */
import type { BlobDatabase, CollectorDatabase } from "../database/Database.ts"
import type { Storage } from "../storage/Storage.ts"
import { collectorPhases } from "../sweep/CollectorPhases.ts"
import type { Phase } from "../sweep/Phase.ts"
import { orphans } from "../sweep/phases/Orphans.ts"
import type { RegistryDatabase } from "./database/RegistryDatabase.ts"
import { manifests } from "./phases/Manifests.ts"
import { retention } from "./phases/Retention.ts"
import { uploadSessions } from "./phases/UploadSessions.ts"

/** Manifests before orphans: what a deleted manifest referred to is then seen unreferenced in the same sweep. */
export const registryPhases: ReadonlyArray<
  Phase<BlobDatabase | CollectorDatabase | RegistryDatabase | Storage>
> = [
  uploadSessions,
  ...collectorPhases.flatMap((phase) => (phase === orphans ? [retention, manifests, phase] : [phase]))
]
