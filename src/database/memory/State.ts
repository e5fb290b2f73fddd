/** The tables of the memory backend. Tests may read them, and write to them like an unannounced writer. */
import type { Latch } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { ObjectKey } from "../../domain/ObjectKey.ts"
import type { Orphan, OrphanCause } from "../../domain/Orphan.ts"
import type {
  Bound,
  BreakerDay,
  BreakerName,
  BreakerState,
  HistoryEntry,
  Intent,
  JournalReason,
  LeftoverCounts,
  LeftoverScan,
  Override,
  Pause,
  Peer,
  Pin,
  RecordedAudit,
  ReferenceTable,
  ServerIdentity
} from "../Database.ts"

/** A blob's row, apart from its digest. */
export interface BlobRow {
  readonly key: ObjectKey
  readonly sizeBytes: number
  readonly createdAt: number
  readonly lastUsedAt: number
}

/** A journal row, apart from its key. */
export interface JournalRow {
  readonly digest: Digest | null
  readonly sizeBytes: number
  readonly reason: JournalReason
  readonly notBefore: number
  readonly claimedUntil: number | null
  readonly attempts: number
  readonly lastError: string | null
  readonly deadAt: number | null
  readonly uploadId: string | null
}

/** A sighting, apart from its digest. */
export interface SightingRow {
  readonly seenAt: number
  readonly condemnedAt: number | null
  /** The id of the sweep that condemned it; null if it is not condemned. */
  readonly sweep: string | null
  /** Absent where it is unknown. */
  readonly cause?: OrphanCause
  /** Until when a reference source is not asked about it again. Absent where none has held it. */
  readonly keptUntil?: number
}

/** An intent's row. */
export interface IntentRow extends Intent {
  readonly uploadId: string | null
}

/** The present pass of the search for leftovers. */
export interface ListingRow extends Pick<LeftoverScan, "pass" | "startedAt">, LeftoverCounts {
  /** The last token that was given out. */
  readonly token: number
  readonly endedAt: number | null
  readonly ranges: ReadonlyArray<RangeRow>
}

/** A range of the pass. */
export interface RangeRow extends Pick<LeftoverScan, "token" | "from" | "upTo" | "after"> {
  readonly endedAt: number | null
  readonly claimedUntil: number | null
}

/** A staged chunk of an upload session: an object that the session's later blob needs. */
export interface ChunkRow {
  readonly key: ObjectKey
  /** The id of its session. */
  readonly session: string
  readonly startByte: number
  readonly sizeBytes: number
  readonly digest: Digest
}

/** A row that refers to a blob. */
export interface ReferringRow {
  /** The primary key as text, columns by space. */
  readonly id: string
  readonly digest: Digest
}

/** A table that refers to blobs and that another part of the program keeps. */
export interface ReferringTable extends ReferenceTable {
  readonly rows: () => ReadonlyArray<ReferringRow>
}

/** A row of a host's table with a foreign key to blobs. */
export interface HostRow {
  /** The blob that the row refers to; null if it refers to none. */
  readonly digest: Digest | null
  /** The other columns, as the host wrote them. */
  readonly [column: string]: unknown
}

/** Rows of one table that a transaction changed. The value `undefined` is a deleted row. */
export type Changes = Map<unknown, unknown>

/** A transaction that a host has open. */
export interface OpenTransaction {
  /** By table: what its verbs changed so far. */
  readonly changes: Map<string, Changes>
  /** Candidates that its changes queue. */
  readonly candidates: Array<Digest>
  /** Blobs that it relies on without a change of a row. A purge skips them. */
  readonly kept: Set<Digest>
  /** A statement of the host failed, so the transaction can only be rolled back. */
  isAborted: boolean
  /** A verb runs statements of a host in it. Others wait for its end, which is near. */
  readonly isVerbs: boolean
  /** Opens with the end of the transaction. */
  readonly ended: Latch.Latch
  /** The transaction whose end it waits for, or null. */
  waitsFor: OpenTransaction | null
}

/** What makes an unannounced writer's row suspect. */
export interface Tombstone {
  /** True if it never ends. */
  readonly lasting: boolean
  /** When a call found that no DELETE is under way, or null. */
  readonly settledAt: number | null
  /** Transactions that were open then. */
  readonly holders: ReadonlyArray<OpenTransaction>
}

/** Every row of the catalogue and of the collector's tables. */
export interface State {
  readonly blobs: Map<Digest, BlobRow>
  /** Rows of the host's tables that refer to blobs, by table and id: see {@link hostRowId}. */
  readonly references: Map<string, HostRow>
  /** The host's tables with a foreign key to blobs. Their column is `digest`. */
  readonly hostTables: Set<string>
  readonly orphans: Map<Digest, SightingRow>
  readonly journal: Map<ObjectKey, JournalRow>
  readonly intents: Map<ObjectKey, IntentRow>
  readonly pins: Map<string, Pin>
  /**
   * The fourth owner of keys beside blobs, intents and the journal. Only a registry puts any in, and they
   * stay in the core: whether a key is dead is asked in one snapshot over all owners.
   */
  readonly chunks: Map<ObjectKey, ChunkRow>
  /** Tables beside `references` and `pins` that keep blobs, e.g. a registry's manifests. */
  readonly referringTables: Array<ReferringTable>
  readonly scan: {
    pass: number
    position: Digest | null
    startedAt: number | null
    wanted: number
    done: number
  }
  /** The queue of candidates, oldest first. Verbs add to it while `watched` is true. */
  readonly candidates: Array<Digest>
  watched: boolean
  /** The search for leftovers; null before the first pass. */
  listing: ListingRow | null
  /** The binding; null before the first sweep. */
  binding: Bound | null
  /** Which server and which timeline this is. A test changes them as a restored backup does. */
  here: ServerIdentity
  readonly breakers: Map<BreakerName, BreakerState>
  /** What breakers noted, by name and day. */
  readonly breakerHistory: Map<BreakerName, Map<number, BreakerDay>>
  /** By the ids of pins: the cause that their blob's sighting gets when they end. */
  readonly pinCauses: Map<string, OrphanCause>
  /** Collectors at work, by id. */
  readonly peers: Map<string, Peer & { readonly expiresAt: number }>
  /** The last pause that was not ended; null without one. It may have expired. */
  pause: Pause | null
  /** Changed settings by name. They may have expired. */
  readonly overrides: Map<string, Override>
  /** The sweeps that ended, oldest first. */
  readonly history: Array<HistoryEntry>
  /** The last audit of all keys; null before the first. */
  lastAudit: RecordedAudit | null
  /** Keys in doubt, by digest. A blob whose row has one of them is suspect. */
  readonly suspects: Map<Digest, ReadonlySet<ObjectKey>>
  /** The number of the latest suspicion, by digest and key. */
  readonly suspicions: Map<string, number>
  /** The number of the latest of all suspicions, which never returns. */
  lastSuspicion: number
  /** Tombstones of digests whose row was deleted. */
  readonly tombstones: Map<Digest, Tombstone>
  /** Tombstones of keys that were journaled. */
  readonly buriedKeys: Map<ObjectKey, Tombstone>
  /** How often each journaled key was leased. */
  readonly leases: Map<ObjectKey, number>
  /** What `installation` answers. */
  readonly installation: { catalogueExisted: boolean; unannouncedWritersGuarded: boolean }
  /** How far the server's clock is ahead of the process's. */
  skewMillis: number
  /** Whether a table of references ever held a row that a verb added, as a file on disk would show. */
  referenced: boolean
  /** What sweeps remember of the references. */
  readonly remembered: {
    /** The keys by name, with the instant at which a sweep refused because it was gone. */
    readonly keys: Map<string, number | null>
    /** Whether a sweep saw a table that holds or held a row. */
    held: boolean
    /** Reference sources by name, with the instant at which a sweep refused because it lacked one. */
    readonly sources: Map<string, number | null>
  }
  /** Transactions that hosts have open (HostTransactions.ts). */
  readonly transactions: Set<OpenTransaction>
  /** True makes every verb join the caller's transaction, as a control. */
  everyVerbJoins: boolean
}

/** Returns an empty catalogue with these reference tables of a host. */
export const emptyState = (tables: ReadonlyArray<string> = []): State => ({
  blobs: new Map(),
  references: new Map(),
  hostTables: new Set(tables),
  orphans: new Map(),
  journal: new Map(),
  intents: new Map(),
  pins: new Map(),
  chunks: new Map(),
  referringTables: [],
  scan: { pass: 1, position: null, startedAt: null, wanted: 1, done: 0 },
  candidates: [],
  watched: false,
  listing: null,
  binding: null,
  here: { server: "memory/1", timeline: "00000001" },
  breakers: new Map(),
  breakerHistory: new Map(),
  pinCauses: new Map(),
  peers: new Map(),
  pause: null,
  overrides: new Map(),
  history: [],
  lastAudit: null,
  suspects: new Map(),
  suspicions: new Map(),
  lastSuspicion: 0,
  tombstones: new Map(),
  buriedKeys: new Map(),
  leases: new Map(),
  installation: { catalogueExisted: false, unannouncedWritersGuarded: false },
  skewMillis: 0,
  referenced: false,
  remembered: { keys: new Map(), held: false, sources: new Map() },
  transactions: new Set(),
  everyVerbJoins: false
})

/** Returns the key of a host's row: its table and its id. */
export const hostRowId = (table: string, id: string): string => JSON.stringify([table, id])

/** Returns the rows of a host's table, by id. */
export const hostRowsOf = (state: State, table: string): ReadonlyArray<readonly [string, HostRow]> =>
  [...state.references].flatMap(([key, row]) => {
    const [of, id] = JSON.parse(key) as [string, string]
    return of === table ? [[id, row] as const] : []
  })

/** Returns the entries in key order. */
export const byKey = <K extends string, V>(map: Map<K, V>): Array<[K, V]> =>
  [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))

/** Returns the digests to which a row refers. */
export const referredDigests = (state: State): Set<Digest> => {
  const digests = new Set<Digest>()
  for (const { digest } of state.references.values()) if (digest !== null) digests.add(digest)
  for (const { rows } of state.referringTables) for (const { digest } of rows()) digests.add(digest)
  return digests
}

/** Returns the digests that a reference or a pin keeps. */
export const heldDigests = (state: State): Set<Digest> => {
  const digests = referredDigests(state)
  for (const { digest } of state.pins.values()) digests.add(digest)
  return digests
}

/** Returns the cause of a sighting as a member, where it has one. */
export const causeOf = (sighting: SightingRow | undefined): Pick<SightingRow, "cause"> =>
  sighting?.cause === undefined ? {} : { cause: sighting.cause }

/** Returns until when a source keeps a sighting as a member, where one does. */
export const keptOf = (sighting: SightingRow | undefined): Pick<SightingRow, "keptUntil"> =>
  sighting?.keptUntil === undefined ? {} : { keptUntil: sighting.keptUntil }

/** Returns when the blob was last used. */
export const usedAtOf = (row: BlobRow): number => Math.max(row.createdAt, row.lastUsedAt)

/** Returns whether an object can have the blob's key. */
export const hasObject = ({ key }: BlobRow): boolean => {
  const length = Buffer.byteLength(key, "utf8")
  return length >= 1 && length <= 1024
}

/** Returns the part of an orphan that says that no object can have its key. */
export const objectOf = (row: BlobRow): Pick<Orphan, "hasObject"> =>
  hasObject(row) ? {} : { hasObject: false }

/** Returns a journal row without attempts. */
export const journalRow = (
  digest: Digest | null,
  sizeBytes: number,
  reason: JournalReason,
  notBefore: number,
  rest: Partial<Pick<JournalRow, "claimedUntil" | "uploadId">> = {}
): JournalRow => ({
  digest,
  sizeBytes,
  reason,
  notBefore,
  claimedUntil: null,
  attempts: 0,
  lastError: null,
  deadAt: null,
  uploadId: null,
  ...rest
})
