/**
 * A catalogue in memory, for deterministic tests: the same contract, no I/O.
 *
 * Every verb runs in one synchronous step, which makes it a transaction: nothing else of the process runs
 * in between. Real locking and isolation need a real PostgreSQL. The contract suites run on both.
 */
import { Effect, Layer } from "effect"
import type { Digest } from "../domain/Digest.ts"
import { BlobDatabase, CollectorDatabase } from "./Database.ts"
import { audit } from "./memory/Audit.ts"
import { backlog } from "./memory/Backlog.ts"
import { binding } from "./memory/Binding.ts"
import { blobs, joins as joinsBlobs } from "./memory/Blobs.ts"
import { breakers } from "./memory/Breakers.ts"
import { candidates, watching } from "./memory/Candidates.ts"
import { control } from "./memory/Control.ts"
import { history } from "./memory/History.ts"
import { withHostStatements } from "./memory/HostStatements.ts"
import { HostTables, hostTables } from "./memory/HostTables.ts"
import { transacting } from "./memory/HostTransactions.ts"
import { instants } from "./memory/Instants.ts"
import { journal } from "./memory/Journal.ts"
import { leftovers } from "./memory/Leftovers.ts"
import { orphans } from "./memory/Orphans.ts"
import { peers } from "./memory/Peers.ts"
import { references, referenceTables } from "./memory/References.ts"
import { type BlobRow, emptyState, type HostRow, hostRowId, type State } from "./memory/State.ts"
import { suspects } from "./memory/Suspects.ts"
import { insertUnannounced, referUnannounced } from "./memory/UnannouncedWriters.ts"

export { type HostTableRow, HostTables, hostTables, RowRefused } from "./memory/HostTables.ts"
export {
  begin,
  commit,
  HostTransaction,
  outside,
  rollback,
  withTransaction
} from "./memory/HostTransactions.ts"
export {
  type BlobRow,
  type ChunkRow,
  emptyState,
  type HostRow,
  hostRowId,
  hostRowsOf,
  type IntentRow,
  type JournalRow,
  type ListingRow,
  type OpenTransaction,
  type ReferringRow,
  type ReferringTable,
  type SightingRow,
  type State
} from "./memory/State.ts"

export { insertUnannounced, type ReferOutcome, referUnannounced } from "./memory/UnannouncedWriters.ts"

/** What an unannounced writer asks the catalogue for. Each is a transaction. */
export const unannouncedWriter = (state: State) =>
  transacting(
    state,
    watching(state, {
      look: (digest: Digest) => Effect.sync(() => state.blobs.has(digest)),
      insert: (digest: Digest, row: BlobRow) => Effect.sync(() => insertUnannounced(state, digest, row)),
      refer: (table: string, id: string, row: HostRow) =>
        Effect.sync(() => referUnannounced(state, hostRowId(table, id), row))
    })
  )

/** What a catalogue in memory contains. */
export interface MemoryOptions {
  /**
   * The host's tables with a foreign key to blobs, each with a column `digest`. {@link HostTables} has their
   * rows. Default: none.
   */
  readonly tables?: ReadonlyArray<string>
}

/** A new catalogue in memory, with reference tables of the host: both databases, and the host's rows. */
export const layer = ({
  tables = []
}: MemoryOptions = {}): Layer.Layer<CollectorDatabase | BlobDatabase | HostTables> =>
  Layer.unwrap(Effect.sync(() => layerOf(emptyState(tables))))

/** The same over `state`. Several layers over one state are several replicas on one catalogue. */
export const layerOf = (state: State): Layer.Layer<CollectorDatabase | BlobDatabase | HostTables> =>
  Layer.mergeAll(
    Layer.succeed(HostTables, HostTables.of(hostTables(state))),
    Layer.succeed(
      CollectorDatabase,
      CollectorDatabase.of({
        description: "memory",
        inspect: Effect.sync(() => referenceTables(state)),
        inspectWithSources: Effect.sync(() => referenceTables(state)),
        orphans: transacting(state, watching(state, orphans(state))),
        candidates: transacting(state, watching(state, candidates(state))),
        journal: transacting(state, watching(state, journal(state))),
        leftovers: transacting(state, leftovers(state)),
        binding: transacting(state, binding(state)),
        breakers: breakers(state),
        references: references(state),
        peers: peers(state),
        control: control(state),
        history: history(state),
        instants: transacting(state, instants(state)),
        suspects: transacting(state, watching(state, suspects(state))),
        audit: audit(state),
        installation: Effect.sync(() => ({ ...state.installation })),
        skew: Effect.sync(() => state.skewMillis),
        backlog: (now) => Effect.sync(() => backlog(state, now))
      })
    ),
    Layer.succeed(
      BlobDatabase,
      BlobDatabase.of(
        withHostStatements(
          state,
          transacting(state, watching(state, blobs(state)), joinsBlobs),
          transacting(state, watching(state, blobs(state)), () => true)
        )
      )
    )
  )
