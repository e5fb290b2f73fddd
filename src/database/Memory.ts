/**
 * A catalogue in memory, for deterministic tests: same contract, no I/O.
 *
 * Every verb runs in one synchronous step, which makes it a transaction: nothing else of the process runs in
 * between. Real locking and isolation need a real PostgreSQL; the contract suite runs on both.
 */
import { Effect, Layer } from "effect"
import { manifests } from "../oci/database/memory/Manifests.ts"
import { sessions } from "../oci/database/memory/UploadSessions.ts"
import { Database } from "./Database.ts"
import { audit } from "./memory/Audit.ts"
import { backlog } from "./memory/Backlog.ts"
import { blobs } from "./memory/Blobs.ts"
import { breakers } from "./memory/Breakers.ts"
import { candidates, watching } from "./memory/Candidates.ts"
import { journal } from "./memory/Journal.ts"
import { leftovers } from "./memory/Leftovers.ts"
import { orphans } from "./memory/Orphans.ts"
import { peers } from "./memory/Peers.ts"
import { emptyState, type State } from "./memory/State.ts"
import { suspects } from "./memory/Suspects.ts"

export {
  type BlobRow,
  type ChunkRow,
  emptyState,
  type IntentRow,
  type JournalRow,
  type ListingRow,
  type ManifestRow,
  manifestId,
  referenceId,
  type SessionRow,
  type SightingRow,
  type State,
  type TagRow
} from "./memory/State.ts"

/** A database over `state`; several layers over one state are several replicas on one catalogue. */
export const layer = (state: State = emptyState()): Layer.Layer<Database> =>
  Layer.succeed(
    Database,
    Database.of({
      description: "memory",
      inspect: Effect.succeed([
        { table: "manifest_references", column: "digest", constraint: "manifest_references_digest_fkey" },
        { table: "manifests", column: "digest", constraint: "manifests_digest_fkey" },
        { table: "artifacts", column: "digest", constraint: "artifacts_digest_fkey" },
        { table: "local_files", column: "digest", constraint: "local_files_digest_fkey" }
      ]),
      orphans: watching(state, orphans(state)),
      candidates: watching(state, candidates(state)),
      journal: journal(state),
      blobs: watching(state, blobs(state)),
      leftovers: leftovers(state),
      breakers: breakers(state),
      peers: peers(state),
      suspects: watching(state, suspects(state)),
      audit: audit(state),
      sessions: watching(state, sessions(state)),
      manifests: watching(state, manifests(state)),
      skew: Effect.sync(() => state.skewMillis),
      backlog: (now) => Effect.sync(() => backlog(state, now))
    })
  )
