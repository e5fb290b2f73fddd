/** The registry's database in memory, over the tables of a memory catalogue that it extends. */
import { Layer } from "effect"
import { watching } from "../../database/memory/Candidates.ts"
import { transacting } from "../../database/memory/HostTransactions.ts"
import { RegistryDatabase } from "./contract/Registry.ts"
import { keys } from "./memory/Keys.ts"
import { manifests } from "./memory/Manifests.ts"
import type { RegistryState } from "./memory/RegistryState.ts"
import { retention } from "./memory/Retention.ts"
import { sizes } from "./memory/Sizes.ts"
import { sessions } from "./memory/UploadSessions.ts"

export {
  emptyState,
  type ManifestRow,
  manifestId,
  type RegistryState,
  type SessionRow,
  type TagRow
} from "./memory/RegistryState.ts"

/** The registry's verbs over `state`, for the same state as the memory database's layer. */
export const layer = (state: RegistryState): Layer.Layer<RegistryDatabase> =>
  Layer.succeed(
    RegistryDatabase,
    RegistryDatabase.of({
      sessions: transacting(state, watching(state, sessions(state))),
      manifests: transacting(state, watching(state, manifests(state))),
      keys: keys(state),
      retention: transacting(state, retention(state)),
      sizes: sizes(state)
    })
  )
