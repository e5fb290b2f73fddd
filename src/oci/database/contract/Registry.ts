/**
 * The database as an OCI registry needs it beside {@link BlobDatabase}: upload sessions, manifests and
 * tags.
 */
import { Context } from "effect"
import type { Keys } from "./Keys.ts"
import type { Manifests } from "./Manifests.ts"
import type { Retention } from "./Retention.ts"
import type { Sizes } from "./Sizes.ts"
import type { Sessions } from "./UploadSessions.ts"

/** The registry's database. Its verbs are named `sessions.append`, `manifests.put`. */
export class RegistryDatabase extends Context.Service<
  RegistryDatabase,
  {
    /** Upload sessions and their chunks. */
    readonly sessions: Sessions
    /** Manifests, the blobs and manifests that they need, and tags. */
    readonly manifests: Manifests
    /** Secrets that replicas share. */
    readonly keys: Keys
    /** How old tags are, and which are removed by rules. */
    readonly retention: Retention
    /** How much space the repositories use. */
    readonly sizes: Sizes
  }
>()("artifact-gc/oci/database/RegistryDatabase") {}
