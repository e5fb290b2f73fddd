/**
 * The database as the collector needs it: it finds garbage, journals keys and deletes them. Knows no
 * registry.
 */
import { Context, type Effect } from "effect"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type { SchemaRefused } from "../../domain/SchemaRefused.ts"
import type { Audit } from "./Audit.ts"
import type { Binding } from "./Binding.ts"
import type { Breakers } from "./Breakers.ts"
import type { Candidates } from "./Candidates.ts"
import type { Control } from "./Control.ts"
import type { History } from "./History.ts"
import type { Installation } from "./Installation.ts"
import type { Instants } from "./Instants.ts"
import type { Journal } from "./Journal.ts"
import type { Leftovers } from "./Leftovers.ts"
import type { Orphans, ReferenceTable } from "./Orphans.ts"
import type { Peers } from "./Peers.ts"
import type { References } from "./References.ts"
import type { Result } from "./Result.ts"
import type { Suspects } from "./Suspects.ts"

/** The rows that wait for a later sweep. */
export interface Backlog {
  /** Sightings that are not condemned. */
  readonly waiting: number
  /** Blobs whose references changed and that no sweep has looked at yet. */
  readonly candidates: number
  /** Condemned orphans. */
  readonly condemned: number
  /** The bytes of their blobs. */
  readonly condemnedBytes: number
  /** Journaled keys that are no dead letters. */
  readonly journaled: number
  /** The bytes of those. */
  readonly journaledBytes: number
  /** Of the journaled, those that a sweep at `now` may delete. */
  readonly journalDue: number
  /** The bytes of those. */
  readonly journalDueBytes: number
  /** Journaled keys that were given up on. */
  readonly deadLetters: number
  /** Uploads that are announced and not finished. */
  readonly intents: number
  /** Pins. A blob with several counts once for each. */
  readonly pins: number
  /** The earliest sighting of a waiting orphan; null without one. */
  readonly oldestSeenAt: number | null
  /** The earliest condemnation; null without one. */
  readonly oldestCondemnedAt: number | null
  /** When the first journaled key is due; null without one. */
  readonly nextJournalAt: number | null
  /** When the first dead letter was given up on; null without one. */
  readonly oldestDeadAt: number | null
  /** When the first intent expires; null without one. */
  readonly nextIntentAt: number | null
  /** When the first pin expires; null without one. */
  readonly nextPinAt: number | null
}

/** The collector's database. The verbs of a group are named `group.verb`, as in `orphans.purge`. */
export class CollectorDatabase extends Context.Service<
  CollectorDatabase,
  {
    /** Names this database for people, without its password. */
    readonly description: string
    /**
     * The schema guard. Reads the foreign keys to blobs from the catalogue and returns the reference tables
     * if it is safe to collect. `orphans`, `candidates` and `suspects` use what it found. Call it before
     * each sweep.
     */
    readonly inspect: Effect.Effect<ReadonlyArray<ReferenceTable>, SchemaRefused | DatabaseError>
    /**
     * Does the same for a sweep that asks reference sources: no table need have a foreign key to blobs. Every other problem
     * is refused. `FirstReference` then keeps every blob until a source has held one, or an operator has confirmed.
     */
    readonly inspectWithSources: Effect.Effect<ReadonlyArray<ReferenceTable>, SchemaRefused | DatabaseError>
    /** Returns how the collector was installed, as `inspect` found last. Fails before it has passed. */
    readonly installation: Result<Installation>
    /** Blobs that nothing refers to. */
    readonly orphans: Orphans
    /** Blobs whose references changed. */
    readonly candidates: Candidates
    /** Keys whose objects are to be deleted. */
    readonly journal: Journal
    /** Objects that nothing owns. */
    readonly leftovers: Leftovers
    /** To which catalogue and store the tables belong. */
    readonly binding: Binding
    /** Stops that stay until a person confirms. */
    readonly breakers: Breakers
    /** What earlier sweeps saw of the references, and columns that look like undeclared ones. */
    readonly references: References
    /** The other collectors of this catalogue. */
    readonly peers: Peers
    /** What operators tell all collectors of this catalogue. */
    readonly control: Control
    /** The sweeps of the last months. */
    readonly history: History
    /** Instants that a wrong clock wrote. */
    readonly instants: Instants
    /** Blobs whose objects are in doubt. */
    readonly suspects: Suspects
    /** Reads for the audit. */
    readonly audit: Audit
    /**
     * Returns the milliseconds by which the server's clock is ahead of this process's, at the middle of the
     * question. Both are real clocks, whatever `Clock` says.
     */
    readonly skew: Result<number>
    /** Counts the rows that wait for a later sweep. */
    readonly backlog: (now: number) => Result<Backlog>
  }
>()("artifact-gc/database/CollectorDatabase") {}
