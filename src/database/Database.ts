/**
 * The catalogue and the collector's own tables, as transitions: each method is one transaction that moves something
 * along `staged → owned → orphan → condemned → purged → journaled → gone`, or reads. Nothing here calls the store,
 * so no transaction is ever open across a request to it.
 *
 * Instants come from the caller (milliseconds since the epoch, from `Clock`); no statement asks the server for the
 * time. Every method may fail with `DatabaseError`, and then nothing of it has happened.
 *
 * docs/design/protocol.md says why the transitions have the shape they have; test/database/contract.ts holds every
 * backend to it.
 */
import { Context, type Effect } from "effect"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { SchemaRefused } from "../domain/SchemaRefused.ts"
import type { Manifests } from "../oci/database/contract/Manifests.ts"
import type { Sessions } from "../oci/database/contract/UploadSessions.ts"
import type { Audit } from "./contract/Audit.ts"
import type { Blobs } from "./contract/Blobs.ts"
import type { Breakers } from "./contract/Breakers.ts"
import type { Candidates } from "./contract/Candidates.ts"
import type { Journal } from "./contract/Journal.ts"
import type { Leftovers } from "./contract/Leftovers.ts"
import type { Orphans, ReferenceTable } from "./contract/Orphans.ts"
import type { Peers } from "./contract/Peers.ts"
import type { Result } from "./contract/Result.ts"
import type { Suspects } from "./contract/Suspects.ts"

export type * from "../oci/database/contract/Manifests.ts"
export type * from "../oci/database/contract/UploadSessions.ts"
export type * from "./contract/Audit.ts"
export * from "./contract/Blobs.ts"
export * from "./contract/Breakers.ts"
export type * from "./contract/Candidates.ts"
export type * from "./contract/Journal.ts"
export type * from "./contract/Leftovers.ts"
export * from "./contract/Orphans.ts"
export type * from "./contract/Peers.ts"
export type * from "./contract/Suspects.ts"

/** What waits for a later sweep. */
export interface Backlog {
  readonly waiting: number
  readonly condemned: number
  readonly condemnedBytes: number
  readonly journaled: number
  /** Of the journaled, those that a sweep at `now` may delete. */
  readonly journalDue: number
  readonly journalDueBytes: number
  readonly deadLetters: number
  /** Uploads announced and not finished. */
  readonly intents: number
  /** Upload sessions that are open or being finished. */
  readonly sessions: number
  /** Blobs kept by pins count once for each pin. */
  readonly pins: number
  /**
   * The earliest seenAt of what waits, condemnedAt of what is condemned, due time in the journal, and last activity of a
   * session that is open or being finished.
   */
  readonly oldestSeenAt: number | null
  readonly oldestCondemnedAt: number | null
  readonly nextJournalAt: number | null
  readonly oldestActivityAt: number | null
}

export class Database extends Context.Service<
  Database,
  {
    /** What this database is, for people; never its password. */
    readonly description: string
    /**
     * The schema guard. Reads the foreign keys to blobs from the catalogue and succeeds with the reference tables
     * when it is safe to collect; `orphans` uses what it found. Call it before each sweep.
     */
    readonly inspect: Effect.Effect<ReadonlyArray<ReferenceTable>, SchemaRefused | DatabaseError>
    readonly orphans: Orphans
    readonly candidates: Candidates
    readonly journal: Journal
    readonly blobs: Blobs
    readonly leftovers: Leftovers
    readonly breakers: Breakers
    readonly peers: Peers
    readonly suspects: Suspects
    readonly audit: Audit
    readonly sessions: Sessions
    readonly manifests: Manifests
    /**
     * Milliseconds by which the server's clock is ahead of this process's own, at the middle of the question. Both are
     * real clocks, whatever `Clock` says.
     */
    readonly skew: Result<number>
    /** What waits for a later sweep. */
    readonly backlog: (now: number) => Result<Backlog>
  }
>()("artifact-gc/database/Database") {}
